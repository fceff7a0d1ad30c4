"""The schema of the answers: there is one for every command, and what it once promised it still does."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sarathictl.answers import ANSWERS, json_schema
from sarathictl.program import COMMANDS

GOLDEN = Path(__file__).parent / "golden" / "promised_fields.txt"
WORDS_ALONE = {"completion", "man", "demo", "schema"}


def test_every_command_that_prints_json_has_a_schema() -> None:
    assert set(ANSWERS) == set(COMMANDS) - WORDS_ALONE


def test_fields_are_only_added_within_a_version() -> None:
    now = set(promised_fields())
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text("".join(f"{line}\n" for line in sorted(now)))
    missing = set(GOLDEN.read_text().splitlines()) - now
    assert not missing, "raise output.SCHEMA_VERSION, or keep what scripts read"


def promised_fields() -> Iterator[str]:
    """Yield every field of every object with its kind."""
    for name, definition in json_schema()["$defs"].items():
        for field, shape in definition.get("properties", {}).items():
            yield f"{name}.{field}: {kind_of(shape)}"


def kind_of(shape: Mapping[str, Any]) -> str:
    if "anyOf" in shape:
        return " or ".join(sorted({kind_of(other) for other in shape["anyOf"]}))
    if shape.get("type") == "array" and isinstance(shape.get("items"), dict):
        return f"array of {kind_of(shape['items'])}"
    return str(shape.get("$ref", shape.get("type", "anything"))).removeprefix("#/$defs/")


def test_a_command_alone_or_all_of_them(sarathictl: Any) -> None:
    alone = sarathictl("schema", "doctor").json
    everything = sarathictl("schema").json

    assert set(alone["commands"]) == {"doctor"}
    assert set(everything["commands"]) == set(ANSWERS)
    assert alone["commands"]["doctor"] == everything["commands"]["doctor"]
    assert alone["$defs"]["Finding"]["required"] == ["name", "words", "hint", "is_good"]
    references = set(json.dumps(everything).split('"#/$defs/')[1:])
    assert {reference.split('"')[0] for reference in references} <= set(everything["$defs"])


def test_a_command_without_a_schema_is_refused(sarathictl: Any) -> None:
    outcome = sarathictl("schema", "man")
    assert outcome.code == 2
    assert "no schema of 'man'" in outcome.err


@pytest.mark.parametrize("name", ["top", "status", "bench"])
def test_every_answer_says_its_version(name: str) -> None:
    version, _ = json_schema(name)["commands"][name]["allOf"]
    assert version == {"properties": {"schema_version": {"const": 1}}, "required": ["schema_version"]}
