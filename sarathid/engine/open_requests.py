"""Every request that has not ended, or whose client has not got its end yet."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from sarathid.engine.token_stream import TokenStream
from sarathid.protocol.control import RequestStatus
from sarathid.protocol.logprobs import PromptLogprobs
from sarathid.protocol.requests import FinishReason, Request, SamplingParams
from sarathid.protocol.stats import IterationStats, RequestArrival, RequestStats, StreamRecord, TokenGap
from sarathid.protocol.step import TokenDelta
from sarathid.scheduler.prefill_order import REQUESTS_PER_PRIORITY
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.timeline import refused_stats


class OpenRequests:
    """Numbers requests, passes their tokens on, and lets go of each when its reader and its record are done with it.

    A request is `settled` once its record is known; that is published when its reader is through, too.
    """

    def __init__(self, publish: Callable[[StreamRecord], None]) -> None:
        self._publish = publish
        self._streams: dict[int, TokenStream] = {}
        self._num_arrivals: Counter[str] = Counter()
        self._next_request_id = 1

    def __iter__(self) -> Iterator[TokenStream]:
        """Yield the streams, oldest first; some may end meanwhile."""
        return iter(tuple(self._streams.values()))

    def __bool__(self) -> bool:
        return bool(self._streams)

    @property
    def num_in_flight(self) -> int:
        """Those that have not ended or whose client has not got the end yet."""
        return sum([not stream.is_over for stream in self._streams.values()])

    def find(self, request_id: int) -> TokenStream | None:
        """Return a request's stream, None when it has ended for good or never was."""
        return self._streams.get(request_id)

    def unfinished(self) -> list[TokenStream]:
        """Return those that have not ended, oldest first."""
        return [stream for stream in self._streams.values() if stream.finish_reason is None]

    def statuses(self, now_s: float) -> tuple[RequestStatus, ...]:
        """Return what every request that has not ended does now, oldest first."""
        return tuple([stream.status(now_s) for stream in self.unfinished()])

    def make(
        self,
        prompt_token_ids: tuple[int, ...],
        sampling: SamplingParams,
        *,
        client: str,
        owner: str,
        priority: int,
        cache_salt: str,
        on_close: Callable[[TokenStream, FinishReason], None],
        on_delivery: Callable[[TokenStream, float, Pauses], None],
    ) -> TokenStream:
        """Return the stream of a request that arrives now, to be added when the engine has been told of it."""
        request = Request(
            request_id=self._next_request_id,
            prompt_token_ids=prompt_token_ids,
            sampling=sampling,
            arrival_s=time.monotonic(),
            client=client,
            owner=owner,
            priority=priority,
            cache_salt=cache_salt,
        )
        self._next_request_id += 1
        self._num_arrivals[owner] += 1
        stream = TokenStream(request, on_close, on_delivery)
        stream.place = self._num_arrivals[owner] + REQUESTS_PER_PRIORITY * priority
        return stream

    def add(self, stream: TokenStream) -> None:
        """Keep a request from now on, and publish that it is there."""
        request = stream.request
        self._streams[request.request_id] = stream
        self._publish(
            RequestArrival(
                request_id=request.request_id,
                client=request.client,
                arrival_s=request.arrival_s,
                num_prompt_tokens=len(request.prompt_token_ids),
                max_tokens=request.sampling.max_tokens,
                owner=request.owner,
                priority=request.priority,
            )
        )

    def pass_on(
        self, deltas: Iterable[TokenDelta], made_s: float, prompt_logprobs: Iterable[PromptLogprobs]
    ) -> list[TokenGap]:
        """Give the streams what the engine made for them; return the gaps that another engine had begun."""
        for prompt in prompt_logprobs:
            if stream := self._streams.get(prompt.request_id):
                stream.push_prompt(prompt)
        restart_gaps: list[TokenGap] = []
        for delta in deltas:
            stream = self._streams.get(delta.request_id)
            if stream is None or stream.finish_reason is not None:  # it was ended here, which the engine heard later
                continue
            if (gap_s := stream.push(delta, made_s)) is not None:
                restart_gaps.append(TokenGap(delta.request_id, gap_s))
        return restart_gaps

    def tell_readers(self, deltas: Iterable[TokenDelta]) -> None:
        """Have the readers take what the engine made for them, each in its turn."""
        for delta in deltas:
            if stream := self._streams.get(delta.request_id):
                stream.on_news()

    def mirror(self, stats: IterationStats) -> None:
        """Note of each request what an iteration did with it."""
        for request_id in stats.preempted:
            if stream := self._streams.get(request_id):
                stream.mark_preempted()
        for chunk in stats.chunks:
            if stream := self._streams.get(chunk.request_id):
                stream.mark_chunk(chunk)

    def lose_engine(self) -> None:
        """Note that the engine is gone: it will not tell of those that have ended any more."""
        for stream in self:
            stream.mark_restarted()
            if stream.finish_reason is not None and stream.stats is None:
                self.settle_unheard(stream)

    def end(self, stream: TokenStream, reason: FinishReason) -> None:
        """End a request for its reader; if an engine has it, that has yet to tell of it."""
        stream.push(TokenDelta(stream.request_id, None, reason), time.monotonic())
        stream.on_news()

    def settle(self, stats: RequestStats) -> None:
        """Take the record of a request that has ended, for the reason that its reader was told."""
        stream = self._streams.get(stats.request_id)
        if stream is not None:
            reason = stream.finish_reason or stats.finish_reason
            stream.stats = msgspec.structs.replace(stats, finish_reason=reason)
            self.let_go_if_over(stream)

    def settle_unheard(self, stream: TokenStream) -> None:
        """Settle a request that has ended, of which no engine will tell."""
        self.settle(refused_stats(stream.resumed_request(), time.monotonic()))

    def let_go_if_over(self, stream: TokenStream) -> None:
        """Publish the record of a settled request whose reader is through, once."""
        if stream.is_closed and stream.stats is not None and self._streams.pop(stream.request_id, None) is not None:
            if stream.deadline is not None:
                stream.deadline.cancel()
            self._publish(stream.final_stats(stream.stats))
