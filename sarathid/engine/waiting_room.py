"""How many requests may wait, and who is still let in when that many do."""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass

from sarathid.engine.token_stream import TokenStream
from sarathid.errors import QueueFull, RequestRefused


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """Room for so many requests, and for so many tokens of their prompts.

    Who fills it up keeps nobody else out: an owner that has less than an equal part of it may still enter, so that at
    most twice as many wait.
    """

    max_requests: int = 1024
    max_tokens: int = 1 << 20

    def check(self, streams: Iterable[TokenStream], owner: str) -> None:
        """Raise `QueueFull` when those of `streams` that wait leave no room for another request of an owner."""
        waiting = [stream for stream in streams if stream.is_waiting]
        own = [stream for stream in waiting if stream.request.owner == owner]
        num_owners = len({stream.request.owner for stream in waiting} | {owner})
        if len(waiting) >= self.max_requests <= num_owners * len(own):
            raise QueueFull(f"{self.max_requests} requests wait already; try again later")
        if _num_prompt_tokens(waiting) >= self.max_tokens <= num_owners * _num_prompt_tokens(own):
            raise QueueFull(f"prompts of {self.max_tokens} tokens wait already; try again later", cause="tokens")

    def check_fits(self, prompts: Sequence[Sized]) -> None:
        """Raise `RequestRefused` when the prompts of one request find no room together, whoever else waits or not."""
        if len(prompts) > self.max_requests:
            raise RequestRefused(
                f"{len(prompts)} prompts come at once, and {self.max_requests} may wait here; send fewer", "prompt"
            )
        if sum(map(len, prompts[:-1])) >= self.max_tokens:
            num_tokens = sum(map(len, prompts))
            raise RequestRefused(
                f"{len(prompts)} prompts come at once, with {num_tokens} tokens, and {self.max_tokens} may wait here; "
                "send fewer",
                "prompt",
            )


def _num_prompt_tokens(streams: Iterable[TokenStream]) -> int:
    return sum([len(stream.prompt_token_ids) for stream in streams])
