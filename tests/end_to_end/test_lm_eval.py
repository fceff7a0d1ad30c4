"""lm-eval scores a daemon as it scores the same weights in transformers."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from sarathid.config import DEFAULT_MODEL
from sarathid.models.export import export
from sarathid.models.model_files import resolve
from tests.end_to_end.loopback import KEY, serving_on_loopback
from tests.end_to_end.offline import offline_environment
from tests.end_to_end.other_python import python_with

TASKS = Path(__file__).with_name("lm_eval_tasks")
TOLERANCE = 0.005


def scores(python: str, place: Path, model: str, arguments: str) -> dict[str, float]:
    """Return each metric of each task for a model as lm-eval names it, with what it is told of it."""
    place.mkdir()
    command = [python, "-m", "lm_eval", "run", "--model", model, "--model_args", arguments, "--batch_size", "4"]
    tasks = ["--tasks", "sarathid_facts", "sarathid_prose", "--include_path", os.fspath(TASKS)]
    done = subprocess.run(
        [*command, *tasks, "--device", "cpu", "--output_path", os.fspath(place / "scores.json")],
        capture_output=True,
        text=True,
        cwd=TASKS,  # their files are named relative to where it runs
        env=offline_environment(place, OPENAI_API_KEY=KEY),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    (written,) = place.glob("scores_*.json")
    results = json.loads(written.read_text())["results"]
    return {
        f"{task} {metric}": value
        for task, metrics in results.items()
        for metric, value in metrics.items()
        if metric.endswith(",none") and "stderr" not in metric
    }


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_daemons_scores_are_those_of_its_weights_in_transformers(tmp_path: Path) -> None:
    python = python_with("lm_eval")
    weights = tmp_path / "weights"
    export(resolve(DEFAULT_MODEL), weights)
    own = scores(python, tmp_path / "own", "hf", f"pretrained={weights},dtype=float32")
    with serving_on_loopback(tmp_path, "--dtype", "float32") as served:
        arguments = f"model={DEFAULT_MODEL},base_url={served.url}/v1/completions,tokenizer={weights},num_concurrent=4"
        over_http = scores(python, tmp_path / "served", "local-completions", arguments)

    assert len(own) == 5
    assert over_http == pytest.approx(own, rel=TOLERANCE)
