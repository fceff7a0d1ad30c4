"""A bundle for support has no name in it, whatever it is made of."""

import tarfile
from pathlib import Path

from sarathictl.export.bundle import REMOVED, Bundle, harmless_settings, nameless
from sarathictl.export.told import Names
from sarathid.tape.tape import Tape
from tests.sarathictl.paper_tape import CLIENT, make_tape


def test_who_and_why_are_left_out_wherever_they_stand_and_the_rest_is_kept() -> None:
    names = Names()
    fields = {
        "entries": [{"by": CLIENT, "revision": {"changed_by": CLIENT, "reason": "for Ann", "revision": 3}}],
        "owners": {CLIENT: {"num_running": 2}},
        "recorder": {"directory": "/home/ann", "num_bytes": 7},
    }

    found = nameless(fields, names)

    alias = names.instead_of(CLIENT)
    assert alias != CLIENT
    assert found == {
        "entries": [{"by": alias, "revision": {"changed_by": alias, "reason": REMOVED, "revision": 3}}],
        "owners": {alias: {"num_running": 2}},
        "recorder": {"directory": REMOVED, "num_bytes": 7},
    }


def test_of_a_configuration_only_what_gives_nobody_away_is_kept() -> None:
    text = 'model = "/home/ann/secret-model"\nhttp_keys = "/etc/keys"\nhttp_port = 80\nprefix_cache = true\n'
    text += 'policy = "stall-free"\nroles = "ann=admin"\ntoken_budget = "auto"\n[more]\napi_key = "sk-1"\n'

    assert harmless_settings(text) == {
        "model": REMOVED,
        "http_keys": REMOVED,
        "http_port": 80,
        "prefix_cache": True,
        "policy": "stall-free",
        "roles": REMOVED,
        "token_budget": "auto",
        "more": {"api_key": REMOVED},
    }


def test_a_recording_in_a_bundle_plays_like_the_original_without_its_names(tmp_path: Path) -> None:
    tape = make_tape()
    with Bundle(tmp_path / "help.tar.gz", Names()) as bundle:
        bundle.add_tape("recording.srec", tape)
    with tarfile.open(tmp_path / "help.tar.gz") as archive:
        recording = archive.extractfile("help/recording.srec")
        assert recording is not None
        (tmp_path / "recording.srec").write_bytes(recording.read())
    found = Tape.read(tmp_path / "recording.srec")

    assert len(found.frames) == len(tape.frames)
    pairs = zip(tape.segments(), found.segments(), strict=True)
    assert all(len(before.records) == len(after.records) for before, after in pairs)
    assert CLIENT.encode() not in b"".join(frame.body for frame in found.frames)
    assert CLIENT.encode() in b"".join(frame.body for frame in tape.frames)
