"""The module that other programs import, against a daemon that only talks, over real sockets."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

import sarathictl.client
from sarathictl.client import AsyncDaemonClient, DaemonClient, ExitCode, StreamItem, exit_code_of
from sarathid.errors import CodecError, ConfigError, ControlRefused, NotPermitted, NotReachable, SarathiError
from sarathid.protocol.control import (
    Cancel,
    Cancelled,
    ControlRequest,
    ErrorCode,
    GetSnapshot,
    GetStatus,
    ListRequests,
    RequestList,
    Retuned,
    SetBudget,
    Snapshot,
    Status,
    Undo,
)
from sarathid.protocol.stats import IterationStats, SettingsChanged
from tests.sarathictl.records import (
    START_S,
    PaperEngine,
    make_request_status,
    make_settings,
    make_snapshot,
    make_status,
)
from tests.sarathictl.stub_daemon import StubDaemon


def make_daemon(runtime_dir: Path) -> StubDaemon:
    def cancel(op: Cancel) -> Cancelled:
        raise ControlRefused(ErrorCode.NOT_FOUND, f"there is no request {op.request_id}")

    answers: dict[type[ControlRequest], Callable[[Any], Any]] = {
        GetStatus: lambda op: make_status(),
        GetSnapshot: lambda op: msgspec.structs.replace(make_snapshot(), stream_positions=daemon.stream_positions),
        ListRequests: lambda op: RequestList(requests=(make_request_status(),)),
        SetBudget: lambda op: Retuned(old=make_settings(), new=make_settings(token_budget=op.budget), iteration=7),
        Cancel: cancel,
    }
    daemon = StubDaemon(runtime_dir, answers)
    return daemon


def iterations(num: int) -> list[IterationStats]:
    records = PaperEngine().run(START_S + 60.0)
    return list(islice((record for record in records if isinstance(record, IterationStats)), num))


CHANGE = SettingsChanged(
    time_s=1.0,
    iteration=3,
    revision=1,
    token_budget=64,
    policy="stall-free",
    slo=make_settings().slo,
    budget_mode=make_settings().budget_mode,
)


def test_a_daemon_is_asked_and_told_by_name(tmp_path: Path) -> None:
    with make_daemon(tmp_path) as daemon, DaemonClient(str(tmp_path)) as client:
        assert client.status() == make_status()
        assert client.requests().requests == (make_request_status(),)
        assert client.set_budget(512, if_revision=0, reason="test").new.token_budget == 512
        assert isinstance(client.snapshot(), Snapshot)
    asked = daemon.asked[2]
    assert isinstance(asked, SetBudget)
    assert (asked.budget, asked.if_revision, asked.reason, asked.guard) == (512, 0, "test", "")


def test_the_same_from_an_event_loop_and_from_many_tasks(tmp_path: Path) -> None:
    async def main() -> list[Status]:
        async with AsyncDaemonClient(str(tmp_path)) as client:
            assert (await client.set_budget(512, reason="test")).new.token_budget == 512
            assert (await client.request(ListRequests(), RequestList)).requests == (make_request_status(),)
            return await asyncio.gather(*(client.status() for _ in range(8)))

    with make_daemon(tmp_path):
        assert asyncio.run(main()) == [make_status()] * 8


def test_a_client_may_be_closed_twice_and_then_asks_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncDaemonClient(str(tmp_path)) as client:
            await client.close()
            with pytest.raises(NotReachable, match="closed"):
                await client.status()

    with make_daemon(tmp_path):
        asyncio.run(main())


def test_the_address_is_that_which_the_console_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARATHID_ADDR", str(tmp_path))
    with make_daemon(tmp_path), DaemonClient() as client:
        assert client.status() == make_status()


def test_records_follow_a_snapshot(tmp_path: Path) -> None:
    sent = iterations(5)
    with make_daemon(tmp_path) as daemon, DaemonClient(str(tmp_path)) as client:
        records = client.records()
        assert isinstance(next(records), Snapshot)
        daemon.wait_for_subscriber()
        daemon.publish(*sent)
        assert [next(records) for _ in sent] == sent
        records.close()


def test_records_reach_an_event_loop(tmp_path: Path) -> None:
    sent = iterations(5)

    async def main(daemon: StubDaemon) -> list[StreamItem]:
        async with AsyncDaemonClient(str(tmp_path)) as client:
            records: AsyncGenerator[StreamItem, None] = client.records()
            assert isinstance(await anext(records), Snapshot)
            await asyncio.to_thread(daemon.wait_for_subscriber)
            daemon.publish(*sent)
            received = [await anext(records) for _ in sent]
            await records.aclose()
            return received

    with make_daemon(tmp_path) as daemon:
        assert asyncio.run(main(daemon)) == sent


def test_events_are_the_records_that_say_what_happened(tmp_path: Path) -> None:
    async def first(client: AsyncDaemonClient) -> object:
        events = client.events()
        found = await anext(events)
        await events.aclose()
        return found

    snapshot_taken = threading.Event()

    def snapshot(_op: GetSnapshot) -> Snapshot:
        snapshot_taken.set()
        return make_snapshot()

    async def main(daemon: StubDaemon) -> object:
        async with AsyncDaemonClient(str(tmp_path)) as client:
            finding = asyncio.create_task(first(client))
            assert await asyncio.to_thread(snapshot_taken.wait, 20.0)
            await asyncio.to_thread(daemon.wait_for_subscriber)
            daemon.publish(*iterations(2), CHANGE)
            return await finding

    with make_daemon(tmp_path) as daemon:
        daemon.answers[GetSnapshot] = snapshot
        assert asyncio.run(main(daemon)) == CHANGE


def test_a_daemon_that_goes_away_ends_its_records(tmp_path: Path) -> None:
    with make_daemon(tmp_path) as daemon, DaemonClient(str(tmp_path)) as client:
        records = client.records()
        assert isinstance(next(records), Snapshot)
        daemon.close()
        with pytest.raises(NotReachable):
            list(records)


def test_records_of_another_version_are_refused(tmp_path: Path) -> None:
    with make_daemon(tmp_path) as daemon, DaemonClient(str(tmp_path)) as client:
        daemon.answers[GetSnapshot] = lambda op: {"status": "fine"}
        with pytest.raises(CodecError, match="another version"):
            next(client.records())


def test_errors_mean_what_the_consoles_exit_codes_mean(tmp_path: Path) -> None:
    def code_of(ask: Callable[[], object]) -> ExitCode:
        with pytest.raises((SarathiError, TimeoutError)) as raised:
            ask()
        return exit_code_of(raised.value)  # type: ignore[arg-type]  # one of the two

    with make_daemon(tmp_path), DaemonClient(str(tmp_path)) as client:
        assert code_of(lambda: client.cancel(5)) is ExitCode.NO_SUCH_OBJECT
        assert code_of(lambda: client.set_budget(64, reason="two\nlines")) is ExitCode.USAGE
    assert code_of(lambda: DaemonClient(str(tmp_path / "nowhere"))) is ExitCode.NOT_REACHABLE
    assert code_of(lambda: DaemonClient("http://host")) is ExitCode.USAGE
    with make_daemon(tmp_path), DaemonClient(str(tmp_path), read_only=True) as client:
        assert code_of(lambda: client.set_budget(64)) is ExitCode.NOT_PERMITTED


def test_what_only_reads_sends_no_change(tmp_path: Path) -> None:
    with make_daemon(tmp_path) as daemon, DaemonClient(str(tmp_path), read_only=True) as client:
        with pytest.raises(NotPermitted):
            client.undo()
        client.status()
    assert not any(isinstance(op, Undo) for op in daemon.asked)


def test_every_public_name_is_there_and_only_what_is_named_is_loaded() -> None:
    assert all(hasattr(sarathictl.client, name) for name in sarathictl.client.__all__)
    with pytest.raises(AttributeError, match="'Nothing'"):
        _ = sarathictl.client.Nothing
    program = "import sys, sarathictl.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"zmq", "msgspec", "asyncio"} & set(loaded)


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type[Any]) -> set[str]:
        return {name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))}

    assert methods(AsyncDaemonClient) == methods(DaemonClient)


def test_a_wrong_address_is_a_mistake_in_use() -> None:
    with pytest.raises(ConfigError, match="name a runtime directory"):
        DaemonClient("tcp://host")
