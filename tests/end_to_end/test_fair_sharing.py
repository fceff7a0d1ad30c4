"""A user who floods the daemon, and a key that asks for one answer beside."""

import asyncio
import os
from pathlib import Path

import httpx

from sarathid.paths import API_SOCKET
from sarathid.protocol.control import ExplainRequest, ListRequests, RequestList
from sarathid.protocol.why import RequestReasons
from tests.end_to_end.loopback import KEY, serving_on_loopback
from tests.end_to_end.running_daemon import RunningDaemon, wait_until

NUM_FLOODING = 40


def test_one_who_floods_the_daemon_holds_another_up_for_a_place_and_no_longer(tmp_path: Path) -> None:
    with serving_on_loopback(tmp_path, "--simulate", "a100/mistral-7b-tp1", "--max-num-seqs", "2") as served:
        num_ended_before = asyncio.run(ask_beside_a_flood(served.daemon, served.url))

    assert num_ended_before <= NUM_FLOODING // 4, "it waited for the flood"


async def ask_beside_a_flood(daemon: RunningDaemon, url: str) -> int:
    """Return how many of the flooding requests had ended when the answer to the key's came."""
    body = {"prompt": "Once upon a time", "max_tokens": 48}
    unix = httpx.AsyncHTTPTransport(uds=os.fspath(daemon.runtime_dir / API_SOCKET))
    own = httpx.AsyncClient(transport=unix, base_url="http://daemon", timeout=120)
    web = httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=120)
    async with own, web:
        flood = [asyncio.create_task(own.post("/v1/completions", json=body)) for _ in range(NUM_FLOODING)]
        await asyncio.to_thread(wait_until, lambda: daemon.status().num_waiting > NUM_FLOODING // 2, "the flood comes")
        one = asyncio.create_task(web.post("/v1/completions", json=body | {"max_tokens": 192, "priority": 5}))
        await asyncio.to_thread(wait_until, lambda: is_told_to_operators(daemon), "operators see who shares")
        assert (await one).status_code == 200
        num_ended = sum(task.done() for task in flood)
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
    return num_ended


def is_told_to_operators(daemon: RunningDaemon) -> bool:
    """Return whether both owners are listed and a request of the flood says what its owner is owed."""
    found = daemon.ask(ListRequests(), RequestList)
    flood = f"uid {os.getuid()}"
    if found.owners.keys() != {flood, "key web"}:
        return False
    assert found.owners[flood].num_running <= 2
    assert found.owners[flood].num_tokens > 0
    last = next(request for request in reversed(found.requests) if request.owner == flood)
    reasons = daemon.ask(ExplainRequest(request_id=last.request_id), RequestReasons)
    return reasons.wait is not None and flood in reasons.wait.deficits
