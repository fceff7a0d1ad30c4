"""guidellm measures a daemon from outside, and finds what the daemon says of itself."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sarathid.config import DEFAULT_MODEL
from sarathid.models.export import export
from sarathid.models.model_files import resolve
from tests.end_to_end.loopback import KEY, Loopback, serving_on_loopback
from tests.end_to_end.offline import offline_environment
from tests.end_to_end.other_python import python_with

NUM_REQUESTS = 8
NUM_OUTPUT_TOKENS = 24
TOLERANCE = 0.05


def measured(python: str, place: Path, served: Loopback, weights: Path) -> Any:
    """Return what guidellm's report says of eight requests, two at a time."""
    report = place / "report.json"
    backend = f"target={served.url},model={DEFAULT_MODEL},api_key={KEY},request_format=/v1/completions"
    data = f"prompt_tokens=192,output_tokens={NUM_OUTPUT_TOKENS}"
    options = {
        "--backend": f"kind=openai_http,{backend}",
        "--profile": "kind=concurrent,streams=2",
        "--constraint": f"kind=max_requests,count={NUM_REQUESTS}",
        "--tokenizer": f"kind=huggingface_auto,model={weights}",
        "--data": f"kind=synthetic_text,{data}",
        "--output": f"kind=json,path={report}",
    }
    done = subprocess.run(
        [
            python,
            "-m",
            "guidellm",
            "run",
            *[word for option in options.items() for word in option],
            "--disable-console",
        ],
        capture_output=True,
        text=True,
        env=offline_environment(place),
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    (benchmark,) = json.loads(report.read_text())["benchmarks"]
    return benchmark["metrics"]


def own_mean_ms(served: Loopback, name: str) -> float:
    """Return the mean of one of the daemon's histograms of seconds."""
    with served.daemon.http() as client:
        families = text_string_to_metric_families(client.get("/metrics").text)
    found = {sample.name: sample.value for family in families for sample in family.samples}
    return 1e3 * found[f"{name}_sum"] / found[f"{name}_count"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_load_generators_report_agrees_with_the_daemons_own(tmp_path: Path) -> None:
    python = python_with("guidellm")
    weights = tmp_path / "weights"
    export(resolve(DEFAULT_MODEL), weights)
    with serving_on_loopback(tmp_path) as served:
        metrics = measured(python, tmp_path, served, weights)
        own_ttft_ms = own_mean_ms(served, "sarathid_time_to_first_token_seconds")
        own_itl_ms = own_mean_ms(served, "sarathid_inter_token_latency_seconds")

    assert metrics["request_totals"]["successful"] == metrics["request_totals"]["total"] == NUM_REQUESTS
    assert metrics["output_token_count"]["successful"]["total_sum"] == NUM_REQUESTS * NUM_OUTPUT_TOKENS
    assert metrics["time_to_first_token_ms"]["successful"]["mean"] == pytest.approx(own_ttft_ms, rel=TOLERANCE)
    assert metrics["inter_token_latency_ms"]["successful"]["mean"] == pytest.approx(own_itl_ms, rel=TOLERANCE)
