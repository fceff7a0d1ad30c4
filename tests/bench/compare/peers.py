"""The servers that are compared, each as its own project says to run it on a CPU without reuse of prompts."""

import sys
from pathlib import Path

from tests.bench.compare.server import Server

MAX_MODEL_LEN = 8192
MAX_KV_TOKENS = 49_152
API_KEY = "compare-" * 4

LLAMA_PROGRAM = """
import sys, threading
import xllamacpp
path, port, threads, batch = sys.argv[1], *map(int, sys.argv[2:])
asked = xllamacpp.CommonParams()
asked.model.path = path
asked.hostnames, asked.port = ["127.0.0.1"], port
asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = threads
asked.n_parallel, asked.n_ctx, asked.kv_unified = 40, 65536, True
asked.n_batch = asked.n_ubatch = batch
asked.cache_ram_mib, asked.warmup = 0, True
server = xllamacpp.Server(asked)
threading.Event().wait()
"""

TRANSFORMERS_PROGRAM = """
import asyncio, sys, uuid
import torch
from aiohttp import web
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig
path, port, threads, batch_tokens, kv_tokens = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
memory = ContinuousBatchingConfig(page_size=256, num_blocks=kv_tokens // 256, max_batch_tokens=batch_tokens)
batching = model.init_continuous_batching(GenerationConfig(do_sample=False, eos_token_id=-1), memory)
async def complete(request):
    asked, request_id, news = await request.json(), uuid.uuid4().hex, asyncio.Queue()
    batching.register_result_handler(request_id, news.put_nowait)
    batching.add_request(asked["prompt"], request_id, asked["max_tokens"], streaming=True, eos_token_id=-1)
    reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
    try:
        await reply.prepare(request)
        while True:
            output = await news.get()
            await reply.write(b'data: {"choices": [{"text": "%d"}]}\\n\\n' % output.generated_tokens[-1])
            if output.is_finished():
                break
        await reply.write(b"data: [DONE]\\n\\n")
    finally:
        batching.cancel_request(request_id)
    return reply
with torch.inference_mode():
    batching.start()
    app = web.Application()
    app.router.add_post("/v1/completions", complete)
    web.run_app(app, host="127.0.0.1", port=port, print=None)
"""


def ours(port: int, threads: int, directory: Path, *more: str) -> Server:
    """Return this project's daemon, on its own port of the loopback as the others are."""
    keys = directory / "keys"
    keys.write_text(f"compare {API_KEY}\n")
    keys.chmod(0o600)
    argv = (
        *(sys.executable, "-m", "sarathid", "serve", "--runtime-dir", str(directory / "run")),
        *("--http-port", str(port), "--http-keys", str(keys), "--threads", str(threads), "--no-prefix-cache"),
        *more,
    )
    return Server(
        name=" ".join(("sarathid", *more)),
        argv=argv,
        port=port,
        environment={"XDG_STATE_HOME": str(directory / "state")},
        headers={"Authorization": f"Bearer {API_KEY}"},
    )


def llama(python: Path, model: Path, port: int, threads: int, batch: int) -> Server:
    """Return llama.cpp's server as the `xllamacpp` package of that interpreter has it, on a GGUF file."""
    return Server(
        name=f"llama.cpp {model.stem.rpartition('.')[2]} batch {batch}",
        argv=(str(python), "-c", LLAMA_PROGRAM, str(model), str(port), str(threads), str(batch)),
        port=port,
        body={"cache_prompt": False},
    )


def transformers(python: Path, model: Path, port: int, threads: int, batch_tokens: int) -> Server:
    """Return transformers' continuous batching, behind as small a server as can be: its own takes no token ids."""
    arguments = (str(model), str(port), str(threads), str(batch_tokens), str(MAX_KV_TOKENS))
    return Server(
        name=f"transformers batch {batch_tokens}",
        argv=(str(python), "-c", TRANSFORMERS_PROGRAM, *arguments),
        port=port,
        environment={"HF_HUB_OFFLINE": "1"},
    )


def vllm(python: Path, model: Path, port: int, threads: int, budget: int) -> Server:
    """Return vLLM's CPU build of that interpreter, on a directory in Hugging Face's format."""
    argv = (
        *(str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "m"),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(MAX_MODEL_LEN)),
        *("--no-enable-prefix-caching", "--max-num-batched-tokens", str(budget), "--dtype", "float32"),
    )
    preloaded = [str(path) for path in sorted(python.parent.parent.rglob("libiomp5.so"))[:1]]
    preloaded += [str(path) for path in sorted(Path("/usr/lib").rglob("libtcmalloc_minimal.so.4"))[:1]]
    return Server(
        name=f"vLLM budget {budget}",
        argv=argv,
        port=port,
        environment={
            "LD_PRELOAD": ":".join(preloaded),
            "VLLM_CPU_KVCACHE_SPACE": "2",
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}",
            "HF_HUB_OFFLINE": "1",
        },
        body={"model": "m"},
    )
