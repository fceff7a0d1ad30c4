"""The dashboard and the alerts ask for metrics, labels and values that the daemon has."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sarathid.protocol.control import PredictionError
from tests.factories import Engine
from tests.telemetry.test_prometheus import SETTINGS, families_of, make_full_board, make_owner, make_status

SELECTOR = re.compile(r"(sarathid_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"(?:by|ignoring) \(([^)]*)\)")
OF_THE_SCRAPE = {"instance", "job"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)"
)


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, set[str]]]:
    """The values of each label of every metric, by its name."""
    error = PredictionError(window_s=60.0, count=9, p50=0.03, p95=0.25)
    settings = msgspec.structs.replace(SETTINGS, slo=msgspec.structs.replace(SETTINGS.slo, ttft_s=1.0))
    status = msgspec.structs.replace(make_status(settings), engine=Engine.info(), prediction_error=error)
    labels: dict[str, dict[str, set[str]]] = {}
    for family in families_of(make_full_board(), status, {"key 0": make_owner()}):
        for sample in family.samples:
            values = labels.setdefault(f"{family.name}{sample.suffix}", defaultdict(set))
            for name, value in sample.labels:
                values[name].add(value)
    return labels


@pytest.fixture
def dashboard(sarathictl: Any) -> Any:
    return json.loads(sarathictl("export", "grafana").out)


@pytest.fixture
def rules(sarathictl: Any) -> str:
    text: str = sarathictl("export", "prometheus-rules").out
    return text


def expressions_of(found: Any) -> Iterator[str]:
    """Yield every expression in a dashboard, wherever it stands."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name in ("expr", "definition") and isinstance(value, str):
                yield value
            yield from expressions_of(value)
    elif isinstance(found, list):
        for value in found:
            yield from expressions_of(value)


def check_expression(expression: str, known: dict[str, dict[str, set[str]]]) -> None:
    labels: set[str] = set()
    for name, matchers in SELECTOR.findall(expression):
        assert name in known, f"there is no metric {name}: {expression}"
        labels |= known[name].keys()
        for label, operator, value in MATCHER.findall(matchers):
            assert label in known[name].keys() | OF_THE_SCRAPE, f"{name} has no label {label}: {expression}"
            if operator == "=" and label in known[name]:
                assert value in known[name][label], f"{label} of {name} is never {value}: {expression}"
    for names in GROUPING.findall(expression):
        missing = set(names.split(", ")) - labels - OF_THE_SCRAPE
        assert not missing, f"no metric has {missing}: {expression}"


def test_every_expression_of_the_dashboard_names_what_there_is(dashboard: Any, known: Any) -> None:
    expressions = list(expressions_of(dashboard))
    for expression in expressions:
        check_expression(expression, known)
    assert len(expressions) > 20


def test_every_alert_names_what_there_is(rules: str, known: Any) -> None:
    expressions = re.findall(r"^ +expr: (.*)$", rules, re.MULTILINE)
    for expression in expressions:
        check_expression(expression, known)
    assert len(expressions) == rules.count("- alert:") > 5


@pytest.mark.parametrize(
    "expression",
    [
        "rate(sarathid_nothing_total[5m])",
        'sarathid_slo_burn_rate{pace="5m"}',
        'sarathid_slo_burn_rate{window="7m"}',
        "sum by (model) (sarathid_stalls_total)",
    ],
)
def test_the_check_finds_what_there_is_not(known: Any, expression: str) -> None:
    with pytest.raises(AssertionError):
        check_expression(expression, known)


def test_panels_have_places_of_their_own_and_names(dashboard: Any) -> None:
    panels = dashboard["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)), "two panels overlap"
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)


@needs_promtool
def test_promtool_takes_every_expression(dashboard: Any, rules: str, tmp_path: Path) -> None:
    expressions = [
        expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
        for expression in expressions_of(dashboard)
        if not expression.startswith("label_values")
    ]
    recorded = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    (tmp_path / "rules.yml").write_text(rules)
    command = ["promtool", "check", "rules", str(tmp_path / "panels.yml"), str(tmp_path / "rules.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
