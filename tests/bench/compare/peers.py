"""The servers that are compared, each as its own project says to run it on a CPU without reuse of prompts."""

import sys
from pathlib import Path

from tests.bench.compare.server import Server

MAX_MODEL_LEN = 8192
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
