"""The API does what `/openapi.json` says, whatever is sent: schemathesis makes the requests and checks the replies."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sarathid.server.openai.openapi import openapi_document
from tests.server.api_server import KEYS, serve_api

HEADERS = {"Authorization": f"Bearer {KEYS['web-7']}"}
UNAVAILABLE = 503
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
DESCRIBED = schemathesis.openapi.from_dict(openapi_document())
FOUND: Any = list(DESCRIBED.get_all_operations())
OPERATIONS: dict[str, Any] = {found.ok().label: found.ok() for found in FOUND}
POSTS = [label for label in OPERATIONS if label.startswith("POST")]
CASES = [
    *((label, GenerationMode.POSITIVE) for label in OPERATIONS),
    *((label, GenerationMode.NEGATIVE) for label in POSTS),
]


@contextmanager
def served_at(directory: Path) -> Iterator[str]:
    """Serve the API by a thread, and give its address."""
    loop = asyncio.new_event_loop()
    is_done = asyncio.Event()
    address: list[str] = []
    is_up = threading.Event()

    async def serve() -> None:
        async with serve_api(directory) as api:
            address.append(f"http://127.0.0.1:{api.port}")
            is_up.set()
            await is_done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert is_up.wait(60)
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(is_done.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served_at(tmp_path_factory.mktemp("api")) as address:
        yield address


def hold_to_its_description(address: str, label: str, mode: GenerationMode, num_cases: int) -> None:
    @settings(
        max_examples=num_cases,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        response = case.call(base_url=address, headers=HEADERS)
        if response.status_code == UNAVAILABLE:
            assert int(response.headers["Retry-After"][0]) > 0
        else:
            case.validate_response(response, checks=CHECKS)

    check()


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_replies_are_as_described(address: str, label: str, mode: GenerationMode) -> None:
    hold_to_its_description(address, label, mode, 25)


@pytest.mark.long
@pytest.mark.parametrize(("label", "mode"), CASES)
def test_ten_thousand_replies_are_as_described(address: str, label: str, mode: GenerationMode) -> None:
    hold_to_its_description(address, label, mode, 1250)
