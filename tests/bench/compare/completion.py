"""One client for every server: a streamed completion over HTTP, each of its tokens noted as it is read."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from sarathictl.bench.trace import RequestTrace

ANSWER_TIMEOUT_S = 60.0
END_OF_STREAM = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Completions:
    """Where completions are asked for, and what this server wants beside what all are asked."""

    url: str
    headers: dict[str, str]
    body: dict[str, object]

    def answers(self) -> bool:
        """Return whether a token came; whoever refuses the connection, or says that it loads, gives none."""
        request = urllib.request.Request(
            self.url,
            json.dumps(self._asked([1, 2, 3], 1)).encode(),
            {"Content-Type": "application/json", **self.headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:
                return b"choices" in answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    async def follow(
        self,
        session: aiohttp.ClientSession,
        trace: RequestTrace,
        token_ids: list[int],
        num_output_tokens: int,
        on_token: Callable[[], None] = lambda: None,
    ) -> None:
        """Stream one completion and note when each event with text came; a refusal is kept in the trace."""
        body = self._asked(token_ids, num_output_tokens) | {"stream": True}
        async with session.post(self.url, json=body, headers=self.headers) as answer:
            if answer.status != 200:
                trace.failure = f"{answer.status}: {(await answer.text())[:200]}"
                return
            async for line in answer.content:
                if line.startswith(b"data: ") and END_OF_STREAM not in line:
                    trace.token_times_s.append(time.monotonic())
                    on_token()
        trace.is_finished = True

    def _asked(self, token_ids: list[int], num_output_tokens: int) -> dict[str, object]:
        return {
            "prompt": token_ids,
            "max_tokens": num_output_tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            **self.body,
        }


def client_session() -> aiohttp.ClientSession:
    """Return a session without a limit of time or of connections: the load decides both."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None),
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        read_bufsize=1 << 20,
    )


async def cancelled(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone; one that had failed raises."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
