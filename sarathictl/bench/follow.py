"""Sends one completion with a prompt of random tokens and notes each of its tokens as it arrives."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sarathictl.bench.trace import RequestTrace
from sarathictl.client.api import stream_completion
from sarathictl.client.http_response import JSONObject
from sarathid.errors import SarathiError
from sarathid.workload import random_token_ids


@dataclass(frozen=True, slots=True)
class Follower:
    """Where requests go, and where their tokens come from; none of them is in a cache, whatever ran before."""

    api_socket: Path
    vocab_size: int
    rng: random.Random
    cache_salt: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def follow(
        self, trace: RequestTrace, num_output_tokens: int, on_token: Callable[[], None] = lambda: None
    ) -> None:
        """Send the request of `trace` and note its tokens; a refusal or a failure is kept in it."""
        body = {
            "prompt": random_token_ids(trace.num_prompt_tokens, self.vocab_size, self.rng),
            "max_tokens": num_output_tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "return_token_ids": True,
            "cache_salt": self.cache_salt,
        }
        try:
            async with stream_completion(self.api_socket, body) as events:
                async for time_s, event in events:
                    trace.token_times_s += [time_s] * _num_tokens(event)
                    on_token()
            trace.is_finished = True
        except SarathiError as error:
            trace.failure = str(error)


def _num_tokens(event: JSONObject) -> int:
    return sum(len(choice.get("token_ids") or ()) for choice in event.get("choices", ()))
