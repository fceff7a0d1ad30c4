import asyncio
import random
from pathlib import Path

from sarathictl.bench.open_loop import OpenLoop
from sarathictl.bench.trace import LoadTrace
from sarathid.workload import PlannedRequest
from tests.sarathictl.bench.stub_api import PROMPT_LEN, StubAPI


def run(api: StubAPI, directory: Path, requests: list[PlannedRequest], *, gives_up: bool = False) -> LoadTrace:
    async def is_hopeless() -> bool:
        return gives_up and bool(api.bodies)

    async def main() -> LoadTrace:
        async with await api.serve(directory / "api.sock"):
            loop = OpenLoop(directory / "api.sock", requests, random.Random(1), vocab_size=50, grace_s=0.2)
            return await loop.run(is_hopeless)

    return asyncio.run(main())


def test_requests_are_sent_when_due_and_followed_to_their_end(tmp_path: Path) -> None:
    api = StubAPI()
    load = run(api, tmp_path, [PlannedRequest(0.0, PROMPT_LEN, 2), PlannedRequest(0.05, PROMPT_LEN + 1, 2)])
    assert [len(body["prompt"]) for body in api.bodies] == [PROMPT_LEN, PROMPT_LEN + 1]
    assert [(len(trace.token_times_s), trace.is_finished) for trace in load.requests] == [(2, True), (2, True)]
    assert load.requests[1].sent_s - load.start_s >= 0.05


def test_what_is_not_answered_in_time_has_failed(tmp_path: Path) -> None:
    load = run(StubAPI(ignored=frozenset({0})), tmp_path, [PlannedRequest(0.0, PROMPT_LEN, 2)])
    assert [trace.failure for trace in load.requests] == ["not finished when the run ended"]


def test_a_hopeless_run_is_stopped_at_once(tmp_path: Path) -> None:
    api = StubAPI(ignored=frozenset({0}))
    load = run(api, tmp_path, [PlannedRequest(0.0, PROMPT_LEN, 2), PlannedRequest(3600.0, 4, 2)], gives_up=True)
    assert len(load.requests) == 1
    assert load.duration_s < 60.0
