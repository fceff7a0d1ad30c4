"""What the network between two nodes costs: `python -m tests.bench.node_layouts [--delay-ms MS]`, as root.

Serves a random model on two nodes, network namespaces on a cable of 1 Gbit a second whose packets a relay delays, once
with every layer cut in two across the nodes and once with a stage on each, as in Figure 13 of the Sarathi-Serve paper.
Prints the median time between tokens of eight streams, decodes alone, for both and as a ratio.
"""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from sarathid.protocol.control import GetSnapshot, Snapshot
from tests.end_to_end.running_daemon import RunningDaemon, launch, wait_until_ready
from tests.end_to_end.two_nodes import joined, two_nodes
from tests.models.tiny import save_speaking_model

NUM_STREAMS = 8
NUM_TOKENS = 60
SHAPE: dict[str, Any] = {
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "intermediate_size": 1536,
}


def main() -> None:
    """Measure both layouts, one after the other and again, and print the medians."""
    parser = argparse.ArgumentParser(prog="node_layouts")
    parser.add_argument("--delay-ms", type=float, default=0.5, help="what the relay adds, one way")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="nodes-") as scratch:
        model = save_speaking_model(Path(scratch) / "model", **SHAPE)
        found: dict[str, list[float]] = {"--tp": [], "--pp": []}
        for round_ in range(arguments.rounds):
            for flag, times_s in found.items():
                run_dir = Path(scratch) / f"{flag[2:]}{round_}"
                run_dir.mkdir()
                times_s.append(decode_s(model, run_dir, flag, arguments.delay_ms / 1000))
                print(f"{flag} 2 across nodes: {times_s[-1] * 1000:.1f} ms between tokens, round {round_ + 1}")
    tensor_s, pipeline_s = median(found["--tp"]), median(found["--pp"])
    print(
        f"{arguments.delay_ms:g} ms one way, 1 Gbit/s: tp=2 {tensor_s * 1000:.1f} ms, pp=2 {pipeline_s * 1000:.1f} ms, "
        f"ratio {tensor_s / pipeline_s:.2f}"
    )


def decode_s(model: Path, directory: Path, flag: str, delay_s: float) -> float:
    """Return the median seconds between two tokens of a stream while all decode."""
    flags = ("--model", str(model), "--device", "cpu", "--threads", "1", "--slo-tbt", "off", "--kv-memory", "128MiB")
    with two_nodes(delay_s) as (here, there), joined(there, here.endpoint, directory / "join.log"):
        nodes = (flag, "2", "--nnodes", "2", "--rendezvous", here.endpoint, "--budget", "64")
        daemon = launch(directory / "run", directory / "run.log", *flags, *nodes, prefix=here.command())
        try:
            wait_until_ready(daemon)
            with ThreadPoolExecutor(NUM_STREAMS) as pool:
                list(pool.map(lambda index: stream(daemon, index), range(NUM_STREAMS)))
            snapshot = daemon.ask(GetSnapshot(num_iterations=4096), Snapshot)
        finally:
            daemon.stop()
    gaps = [gap.tbt_s for stats in snapshot.iterations if not stats.chunks for gap in stats.gaps]
    return median(gaps)


def stream(daemon: RunningDaemon, index: int) -> None:
    body = {"prompt": [index + 3] * 16, "max_tokens": NUM_TOKENS, "ignore_eos": True, "temperature": 0}
    with daemon.http() as client:
        client.post("/v1/completions", json=body).raise_for_status()


if __name__ == "__main__":
    main()
