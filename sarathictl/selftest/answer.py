"""What came back for a probe, token by token, or what was said instead."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sarathictl.client.api import stream_completion
from sarathictl.client.http_response import JSONObject
from sarathictl.selftest.probe import Probe
from sarathid.errors import QueueFull, RequestRefused, SarathiError


@dataclass(slots=True)
class Answer:
    """An answer as far as it came.

    `longest_gap_s` is between two tokens, as they were read. `refusal` is what the daemon said that would not serve it,
    `failure` what else kept it from its end, `has_left` that its client went away, as it meant to.
    """

    token_ids: list[int] = field(default_factory=list)
    longest_gap_s: float = 0.0
    finish_reason: str | None = None
    refusal: str | None = None
    failure: str | None = None
    has_left: bool = False

    def is_whole(self, probe: Probe) -> bool:
        """Return whether every token of `probe` came and its end was told."""
        return self.finish_reason == "length" and len(self.token_ids) == probe.num_output_tokens


async def ask(
    api_socket: Path,
    probe: Probe,
    *,
    patience_s: float,
    leave_after: int | None = None,
    on_token: Callable[[int], None] = lambda _number: None,
) -> Answer:
    """Send `probe` and return its answer; `on_token` is told the number of tokens there are.

    The client goes away after `leave_after` tokens, and has failed when nothing comes for `patience_s`.
    """
    answer = Answer()
    try:
        await _follow(answer, api_socket, probe, patience_s, leave_after, on_token)
    except TimeoutError:
        answer.failure = f"nothing came for {patience_s:g} s after {len(answer.token_ids)} tokens"
    except (QueueFull, RequestRefused) as error:
        answer.refusal = str(error)
    except SarathiError as error:
        answer.failure = str(error)
    return answer


async def _follow(
    answer: Answer,
    api_socket: Path,
    probe: Probe,
    patience_s: float,
    leave_after: int | None,
    on_token: Callable[[int], None],
) -> None:
    last_s: float | None = None
    async with stream_completion(api_socket, probe.body) as events:
        while leave_after is None or len(answer.token_ids) < leave_after:
            async with asyncio.timeout(patience_s):
                timed = await anext(events, None)
            if timed is None:
                return
            _take(answer, timed.event)
            if last_s is not None:
                answer.longest_gap_s = max(answer.longest_gap_s, timed.time_s - last_s)
            last_s = timed.time_s
            on_token(len(answer.token_ids))
        answer.has_left = True


def _take(answer: Answer, event: JSONObject) -> None:
    for choice in event.get("choices", ()):
        answer.token_ids += choice.get("token_ids") or ()
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
