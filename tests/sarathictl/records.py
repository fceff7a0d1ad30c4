"""A small engine on paper: the records that a daemon would publish while requests come, decode and stall."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sarathid.protocol.control import (
    DaemonState,
    Percentiles,
    PredictionError,
    RequestState,
    RequestStatus,
    Snapshot,
    Status,
)
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    ChunkStats,
    EngineInfo,
    EngineSettings,
    FirstToken,
    IterationScheduled,
    IterationStats,
    RequestStats,
    StallCause,
    StallEvent,
    StreamRecord,
    TokenGap,
)

START_S = 1_000.0
NUM_BLOCKS = 2048
BLOCK_SIZE = 16
TARGET_S = 0.1
LONG_PROMPT = 2000
PREVENTING_BUDGET = 64


def make_info() -> EngineInfo:
    return EngineInfo(
        engine_pid=4712,
        model="SmolLM2-135M-Instruct",
        device="cpu",
        dtype="float32",
        layout="tp1·pp1",
        attention_backend="torch_varlen",
        num_blocks=NUM_BLOCKS,
        block_size=BLOCK_SIZE,
        kv_cache_bytes=1 << 30,
        weight_bytes=540 << 20,
        vocab_size=49152,
        max_model_len=8192,
        max_num_seqs=128,
        min_token_budget=16,
        max_token_budget=8192,
        isolated_decode_s=0.02,
        num_threads=2,
    )


def make_settings(
    token_budget: int = 128, revision: int = 1, policy: str = "stall-free", tbt_s: float | None = TARGET_S
) -> EngineSettings:
    return EngineSettings(revision=revision, token_budget=token_budget, policy=policy, slo=SLO(tbt_s=tbt_s, ttft_s=2.0))


def make_status(settings: EngineSettings | None = None, *, state: DaemonState = DaemonState.READY) -> Status:
    nothing = Percentiles(window_s=60.0, count=0, p50_s=None, p99_s=None, max_s=None)
    return Status(
        version="0.1.0",
        state=state,
        pid=4711,
        uptime_s=75.0,
        engine=make_info(),
        settings=settings or make_settings(),
        num_running=2,
        num_waiting=1,
        num_preempted=0,
        num_blocks_used=512,
        num_blocks_free=NUM_BLOCKS - 512,
        num_iterations=1234,
        num_finished=5,
        num_cancelled=1,
        num_output_tokens=4321,
        num_stalls=3,
        num_engine_restarts=0,
        tbt=Percentiles(window_s=60.0, count=900, p50_s=0.024, p99_s=0.095, max_s=0.412),
        ttft=nothing,
        prediction_error=PredictionError(window_s=60.0, count=900, p50=0.031, p95=0.12),
        is_overloaded=False,
    )


def make_request_status(request_id: int = 17, state: RequestState = RequestState.DECODE) -> RequestStatus:
    return RequestStatus(
        request_id=request_id,
        state=state,
        client="web-7",
        age_s=6.2,
        num_prompt_tokens=311,
        num_computed_tokens=498,
        num_output_tokens=188,
        max_tokens=320,
        ttft_s=0.18,
        tbt_last_s=0.024,
        tbt_max_s=0.412,
        num_stalls=4,
        num_preemptions=0,
    )


def make_snapshot(
    settings: EngineSettings | None = None,
    *,
    iterations: tuple[IterationStats, ...] = (),
    requests: tuple[RequestStatus, ...] = (),
    state: DaemonState = DaemonState.READY,
) -> Snapshot:
    return Snapshot(
        status=make_status(settings, state=state),
        requests=requests,
        iterations=iterations,
        events=(),
        finished=(),
        stream_positions={},
    )


@dataclass
class PaperRequest:
    """One request of the engine on paper."""

    request_id: int
    num_prompt: int
    max_tokens: int
    arrival_s: float
    computed: int = 0
    num_output: int = 0
    last_token_s: float | None = None
    num_stalls: int = 0
    gaps: list[float] = field(default_factory=list)


class PaperEngine:
    """Schedules decodes first, then chunks under the budget; prefill-first runs whole prompts alone.

    An iteration takes 20 ms, 0.5 ms a decode and 1.2 ms a prefill token, all of it times `pace`. With `stream_tokens`,
    a stream ends after so many and another one follows it.
    """

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        num_streams: int = 8,
        stream_tokens: int | None = None,
        prompt_every_s: float = 4.0,
        start_s: float = START_S,
        pace: float = 1.0,
    ) -> None:
        self.settings = settings or make_settings()
        self.now_s = start_s
        self._prompt_every_s = prompt_every_s
        self.pace = pace
        self._next_prompt_s = start_s + 1.0
        self._sequence_number = 0
        self._next_id = 1
        self.requests: list[PaperRequest] = []
        self._stream_tokens = stream_tokens
        for number in range(num_streams):
            max_tokens = 2000 if stream_tokens is None else -(-stream_tokens * (number + 1) // num_streams)
            self._add(num_prompt=40, max_tokens=max_tokens)

    def run(self, until_s: float) -> Iterator[StreamRecord]:
        """Yield the records of all iterations that begin before `until_s`."""
        while self.now_s < until_s:
            yield from self.step()

    def step(self) -> Iterator[StreamRecord]:
        """Yield the records of one iteration, and move the clock to its end."""
        if self.now_s >= self._next_prompt_s:
            self._add(num_prompt=LONG_PROMPT, max_tokens=30)
            self._next_prompt_s += self._prompt_every_s
        decodes, chunks = self._schedule()
        self._sequence_number += 1
        start_s = self.now_s
        prefill = [ChunkStats(r.request_id, r.computed, length, r.num_prompt) for r, length in chunks]
        yield IterationScheduled(
            sequence_number=self._sequence_number,
            start_s=start_s,
            token_budget=self.settings.token_budget,
            num_decode_tokens=len(decodes),
            chunks=tuple(prefill),
        )
        execute_s = self.pace * (0.02 + 0.0005 * len(decodes) + 0.0012 * sum(chunk.length for chunk in prefill))
        self.now_s += execute_s + 0.001
        gaps = self._emit_gaps(decodes)
        first = self._finish_prefills(chunks)
        done = [r for r in self.requests if r.num_output >= r.max_tokens]
        self.requests = [r for r in self.requests if r not in done]
        for request in done:
            if self._stream_tokens is not None and request.num_prompt < LONG_PROMPT:
                self._add(num_prompt=40, max_tokens=self._stream_tokens)
        blocks = sum(-(-(r.computed + r.num_output) // BLOCK_SIZE) for r in self.requests)
        yield IterationStats(
            sequence_number=self._sequence_number,
            start_s=start_s,
            schedule_s=0.0005,
            execute_s=execute_s,
            emit_s=0.0005,
            idle_s=0.0,
            gc_s=0.0,
            policy=self.settings.policy,
            revision=self.settings.revision,
            token_budget=self.settings.token_budget,
            num_decode_tokens=len(decodes),
            chunks=tuple(prefill),
            num_running=sum(r.computed > 0 for r in self.requests),
            num_waiting=sum(r.computed == 0 for r in self.requests),
            num_preempted=0,
            preempted=(),
            num_blocks_used=blocks,
            num_blocks_free=NUM_BLOCKS - blocks,
            gaps=tuple(gaps),
            first_tokens=tuple(first),
            finished=tuple(r.request_id for r in done),
        )
        yield from self._stalls(gaps, prefill)
        for request in done:
            yield self._request_stats(request)

    def _add(self, num_prompt: int, max_tokens: int) -> None:
        self.requests.append(PaperRequest(self._next_id, num_prompt, max_tokens, self.now_s))
        self._next_id += 1

    def _schedule(self) -> tuple[list[PaperRequest], list[tuple[PaperRequest, int]]]:
        decodes = [r for r in self.requests if r.computed >= r.num_prompt]
        unfinished = [r for r in self.requests if r.computed < r.num_prompt]
        if self.settings.policy == "prefill-first" and unfinished:
            return [], [(unfinished[0], unfinished[0].num_prompt)]
        room = self.settings.token_budget - len(decodes)
        chunks = []
        for request in unfinished:
            length = min(room, request.num_prompt - request.computed)
            if length > 0:
                chunks.append((request, length))
                room -= length
        return decodes, chunks

    def _emit_gaps(self, decodes: list[PaperRequest]) -> list[TokenGap]:
        gaps = []
        for request in decodes:
            assert request.last_token_s is not None
            gaps.append(TokenGap(request.request_id, self.now_s - request.last_token_s))
            request.gaps.append(gaps[-1].tbt_s)
            request.last_token_s = self.now_s
            request.num_output += 1
        return gaps

    def _finish_prefills(self, chunks: list[tuple[PaperRequest, int]]) -> list[FirstToken]:
        first = []
        for request, length in chunks:
            request.computed += length
            if request.computed == request.num_prompt:
                first.append(FirstToken(request.request_id, self.now_s - request.arrival_s))
                request.last_token_s = self.now_s
                request.num_output = 1
        return first

    def _stalls(self, gaps: list[TokenGap], chunks: list[ChunkStats]) -> Iterator[StallEvent]:
        target_s = self.settings.slo.tbt_s
        victims = sorted((gap for gap in gaps if target_s and gap.tbt_s > target_s), key=lambda gap: -gap.tbt_s)
        if not victims or not target_s:
            return
        worst_s = victims[0].tbt_s
        chunk = max(chunks, key=lambda chunk: chunk.length) if chunks else None
        yield StallEvent(
            iteration=self._sequence_number,
            time_s=self.now_s,
            target_s=target_s,
            victims=tuple(victims),
            cause=StallCause.PREFILL,
            parts={
                StallCause.DECODE: 0.024,
                StallCause.PREFILL: worst_s - 0.026,
                StallCause.OVERHEAD: 0.001,
                StallCause.UNEXPLAINED: 0.001,
            },
            chunk=chunk or ChunkStats(99, 0, 2000, 2000),
            chunk_iteration=self._sequence_number if chunk else self._sequence_number - 1,
            preventing_budget=PREVENTING_BUDGET,
        )

    def _request_stats(self, request: PaperRequest) -> RequestStats:
        return RequestStats(
            request_id=request.request_id,
            client="paper",
            arrival_s=request.arrival_s,
            scheduled_s=request.arrival_s,
            first_token_s=request.arrival_s,
            finished_s=self.now_s,
            finish_reason=FinishReason.LENGTH,
            num_prompt_tokens=request.num_prompt,
            num_output_tokens=request.num_output,
            num_preemptions=0,
            num_recomputed_tokens=0,
            num_stalls=request.num_stalls,
            tbt_p50_s=sorted(request.gaps)[len(request.gaps) // 2] if request.gaps else None,
            tbt_max_s=max(request.gaps, default=None),
        )
