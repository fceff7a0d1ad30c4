import asyncio
import random
from pathlib import Path

from sarathictl.selftest.answer import Answer, ask
from sarathictl.selftest.probe import Probe, ProbeLengths
from tests.server.api_server import serve_api
from tests.server.byte_tokenizer import token_ids
from tests.server.scripted_engine import MAX_MODEL_LEN, SCRIPT

PROBE = Probe(prompt=(1, 2, 3), num_output_tokens=12)


def answer_to(directory: Path, probe: Probe, *, leave_after: int | None = None, pace_s: float = 0.0) -> Answer:
    async def main() -> Answer:
        async with serve_api(directory, pace_s=pace_s) as api:
            return await ask(api.socket_path, probe, patience_s=0.5, leave_after=leave_after)

    return asyncio.run(main())


def test_a_whole_answer_has_every_token(tmp_path: Path) -> None:
    answer = answer_to(tmp_path, PROBE)

    assert answer.is_whole(PROBE)
    assert answer.token_ids == list(token_ids(SCRIPT[:12]))
    assert answer.refusal is answer.failure is None


def test_a_client_that_leaves_has_what_it_waited_for(tmp_path: Path) -> None:
    answer = answer_to(tmp_path, PROBE, leave_after=5, pace_s=0.01)

    assert answer.has_left
    assert len(answer.token_ids) == 5
    assert not answer.is_whole(PROBE)


def test_what_is_too_long_is_refused_in_words(tmp_path: Path) -> None:
    answer = answer_to(tmp_path, Probe(prompt=(1,) * MAX_MODEL_LEN, num_output_tokens=1))

    assert answer.refusal is not None
    assert "shorten the prompt" in answer.refusal


def test_silence_is_a_failure(tmp_path: Path) -> None:
    answer = answer_to(tmp_path, PROBE, pace_s=1.0)

    assert answer.failure == "nothing came for 0.5 s after 0 tokens"


def test_probes_are_drawn_within_their_lengths() -> None:
    rng = random.Random(1)
    probes = [ProbeLengths(prompt=(2, 4), output=(1, 3)).draw(rng, 50) for _ in range(100)]

    assert {len(probe.prompt) for probe in probes} == {2, 3, 4}
    assert {probe.num_output_tokens for probe in probes} == {1, 2, 3}
    assert {probe.temperature for probe in probes} == {0.0, 1.0}
