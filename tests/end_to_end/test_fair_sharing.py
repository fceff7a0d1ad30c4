"""A user who floods the daemon, and another, or a key, that asks for one answer beside."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sarathid.paths import API_SOCKET
from sarathid.protocol.control import ExplainRequest, ListRequests, RequestList
from sarathid.protocol.why import RequestReasons
from tests.end_to_end.loopback import KEY, Loopback, serving_on_loopback
from tests.end_to_end.other_user import GROUP, NOBODY, ask_as
from tests.end_to_end.running_daemon import RunningDaemon, serving, wait_until

NUM_FLOODING = 40
PROMPT = "Once upon a time"
SIMULATED = ("--simulate", "a100/mistral-7b-tp1", "--max-num-seqs", "2")


def test_one_who_floods_the_daemon_holds_a_key_up_for_a_place_and_no_longer(tmp_path: Path) -> None:
    with serving_on_loopback(tmp_path, *SIMULATED) as served:
        beside = ask_beside_a_flood(served.daemon, lambda: completed_by_key(served), "key web")
        num_ended = asyncio.run(beside)

    assert num_ended <= NUM_FLOODING // 4, "it waited for the flood"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_one_who_floods_the_daemon_holds_another_user_up_for_a_place_and_no_longer(place: Path) -> None:
    with serving(place / "run", *SIMULATED, f"--socket-group={GROUP}", f"--roles={NOBODY}=infer") as daemon:
        beside = ask_beside_a_flood(daemon, lambda: completed_by_nobody(daemon), f"uid {NOBODY}")
        num_ended = asyncio.run(beside)

    assert num_ended <= NUM_FLOODING // 4, "it waited for the flood"


async def completed_by_key(served: Loopback) -> None:
    """Have a long answer written for who has a key, who thinks little of its own request."""
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=120) as client:
        body = {"prompt": PROMPT, "max_tokens": 192, "priority": 5}
        assert (await client.post("/v1/completions", json=body)).status_code == 200


async def completed_by_nobody(daemon: RunningDaemon) -> None:
    """Have a long answer written for another user of this machine."""
    arguments = ("generate", PROMPT, "--max-tokens", "192", "--priority", "5")
    done = await asyncio.to_thread(ask_as, NOBODY, GROUP, daemon, *arguments)
    assert done.returncode == 0, done.stderr


async def ask_beside_a_flood(daemon: RunningDaemon, ask: Callable[[], Awaitable[None]], owner: str) -> int:
    """Return how many of the flooding requests ended while `owner` was there with one, which `ask` asks."""
    body: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 128}
    unix = httpx.AsyncHTTPTransport(uds=os.fspath(daemon.runtime_dir / API_SOCKET))
    async with httpx.AsyncClient(transport=unix, base_url="http://daemon", timeout=120) as client:
        flood = [asyncio.create_task(client.post("/v1/completions", json=body)) for _ in range(NUM_FLOODING)]
        await asyncio.to_thread(wait_until, lambda: daemon.status().num_waiting > NUM_FLOODING // 2, "the flood comes")
        one = asyncio.ensure_future(ask())
        await asyncio.to_thread(wait_until, lambda: is_told_to_operators(daemon, owner), "operators see who shares")
        num_ended_before = sum(task.done() for task in flood)
        await one
        num_ended = sum(task.done() for task in flood) - num_ended_before
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
    return num_ended


def is_told_to_operators(daemon: RunningDaemon, other: str) -> bool:
    """Return whether both owners are listed and a request of the flood says what its owner is owed."""
    found = daemon.ask(ListRequests(), RequestList)
    flood = f"uid {os.getuid()}"
    if found.owners.keys() != {flood, other}:
        return False
    assert found.owners[flood].num_running <= 2
    assert found.owners[flood].num_tokens > 0
    last = next(request for request in reversed(found.requests) if request.owner == flood)
    reasons = daemon.ask(ExplainRequest(request_id=last.request_id), RequestReasons)
    return reasons.wait is not None and flood in reasons.wait.deficits
