"""What a scrape of `/metrics` costs the daemon at its largest: `python -m tests.bench.metrics_scrape`.

Prints series, bytes and the time of making the text, with every owner that is told apart and distributions that have a
sample in every bucket.
"""

import random
import statistics
import time

from sarathid.telemetry.exposition import as_openmetrics, as_text
from sarathid.telemetry.owner_tally import MAX_OWNERS
from sarathid.telemetry.vllm_names import under_vllm_names
from tests.telemetry.test_prometheus import SETTINGS, families_of, make_full_board, make_owner, make_status

NUM_SCRAPES = 200
NUM_SAMPLES = 20_000


def main() -> None:
    board, draw = make_full_board(2 * MAX_OWNERS), random.Random(1)
    figures = board.requests
    for histogram in (
        *(board.iteration_seconds, board.tbt_seconds, board.ttft_seconds, board.iteration_tokens),
        *(figures.e2e_latency, figures.queue_time, figures.prefill_time, figures.decode_time),
        *(figures.inference_time, figures.prompt_tokens, figures.generation_tokens),
    ):
        for _ in range(NUM_SAMPLES):
            histogram.record(10.0 ** draw.uniform(-5.0, 5.0))
    owners = {f"key {number}": make_owner() for number in range(2 * MAX_OWNERS)}
    families = families_of(board, make_status(SETTINGS), owners)
    both = [*families, *under_vllm_names(families, "smollm2-135m")]
    for name, found, write in (
        ("text", families, as_text),
        ("openmetrics", families, as_openmetrics),
        ("text, vllm names too", both, as_text),
    ):
        taken_s = []
        for _ in range(NUM_SCRAPES):
            began_s = time.perf_counter()
            families_of(board, make_status(SETTINGS), owners)
            text = write(found)
            taken_s.append(time.perf_counter() - began_s)
        num_series = sum(len(family.samples) for family in found)
        print(
            f"{name:22}{num_series:6} series{len(text):8} bytes   "
            f"{statistics.median(taken_s) * 1e3:.2f} ms median, {min(taken_s) * 1e3:.2f} ms fastest"
        )


if __name__ == "__main__":
    main()
