"""Clients of their own, that only note when each token of a streamed answer reached them."""

import asyncio
import json
import os
import time
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any, NamedTuple

from sarathid.paths import API_SOCKET

_BUFFER = 1 << 16  # bytes that are read ahead of who looks at them; a line must fit


class Gap(NamedTuple):
    """A wait between two tokens, in monotonic seconds."""

    from_s: float
    until_s: float

    @property
    def seconds(self) -> float:
        return self.until_s - self.from_s

    def common_s(self, other: "Gap") -> float:
        """Return how much this and another one have in common."""
        return max(0.0, min(self.until_s, other.until_s) - max(self.from_s, other.from_s))

    def is_like(self, other: "Gap") -> bool:
        """Whether more than half of one is in the other."""
        return 2.0 * self.common_s(other) > min(self.seconds, other.seconds)


class Witness:
    """One streamed answer; a request is known by the length of its prompt, which no other has."""

    def __init__(self, runtime_dir: Path, path: str, body: dict[str, Any], num_prompt_tokens: int | None) -> None:
        self.num_prompt_tokens = num_prompt_tokens
        self.times_s: list[float] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self._runtime_dir = runtime_dir
        self._head_and_body = _request(path, body | {"stream": True, "ignore_eos": True, "temperature": 0})
        self._has_come = asyncio.Event()

    async def run(self) -> None:
        """Read the answer to its end."""
        reader, writer = await asyncio.open_unix_connection(os.fspath(self._runtime_dir / API_SOCKET), limit=_BUFFER)
        try:
            writer.write(self._head_and_body)
            while (line := await reader.readline()) and b"[DONE]" not in line:
                if line.startswith(b"data: {"):
                    self.times_s.append(time.monotonic())
                    self._has_come.set()
                    await self.may_read.wait()
        finally:
            writer.close()

    async def get(self, num_tokens: int) -> None:
        """Wait until that many more tokens have come."""
        wanted = len(self.times_s) + num_tokens
        while len(self.times_s) < wanted:
            self._has_come.clear()
            await self._has_come.wait()

    def went_on_in(self, gap: Gap, most_s: float) -> bool:
        """Return whether tokens came in a gap of another one's, never `most_s` apart."""
        inside_s = [time_s for time_s in self.times_s if gap.from_s < time_s < gap.until_s]
        moments_s = [gap.from_s, *inside_s, gap.until_s]
        return all(after_s - before_s < most_s for before_s, after_s in pairwise(moments_s))

    def gaps(self, longer_than_s: float) -> list[Gap]:
        """Return the waits that were longer than that."""
        return [gap for gap in starmap(Gap, pairwise(self.times_s)) if gap.seconds > longer_than_s]


def completion(runtime_dir: Path, num_prompt_tokens: int, max_tokens: int) -> Witness:
    """Return the witness of an answer of `max_tokens` to a prompt of so many tokens, each an event of its own."""
    prompt = [1000 + (num_prompt_tokens * 7 + place) % 999 for place in range(num_prompt_tokens)]
    body = {"prompt": prompt, "max_tokens": max_tokens, "return_token_ids": True}
    return Witness(runtime_dir, "/v1/completions", body, num_prompt_tokens)


def wordy_chat(runtime_dir: Path, max_tokens: int) -> Witness:
    """Return the witness of an answer of which each token takes some kilobytes to tell."""
    messages = [{"role": "user", "content": "What is a stall?"}]
    body = {"messages": messages, "max_tokens": max_tokens, "logprobs": True, "top_logprobs": 20}
    return Witness(runtime_dir, "/v1/chat/completions", body | {"return_token_ids": True}, None)


def _request(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: daemon\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data
