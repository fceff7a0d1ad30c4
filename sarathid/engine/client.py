"""What the daemon's servers hold of the engine: submit, cancel, retune, and listen to its records."""

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable

import msgspec

from sarathid.engine.link import EngineLink
from sarathid.engine.open_requests import OpenRequests
from sarathid.engine.pending_changes import PendingChanges
from sarathid.engine.request_check import check_request
from sarathid.engine.silence import EngineSilence
from sarathid.engine.token_stream import TokenStream
from sarathid.engine.waiting_room import WaitingRoom
from sarathid.errors import ControlRefused, EngineFailed, QueueFull
from sarathid.protocol.changes import ChangeNote
from sarathid.protocol.codec import encode
from sarathid.protocol.control import ErrorCode, RequestStatus
from sarathid.protocol.logprobs import PromptLogprobs
from sarathid.protocol.requests import FinishReason, SamplingParams
from sarathid.protocol.slo import BudgetChoice, SLOChange
from sarathid.protocol.stats import (
    EngineInfo,
    EngineSettings,
    IterationScheduled,
    IterationStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
    TokenGap,
)
from sarathid.protocol.step import (
    AddRequest,
    CancelRequest,
    ChangeSettings,
    EngineCommand,
    EngineFault,
    EngineMessage,
    EngineReady,
    EngineWaits,
    LearnedCost,
    NewTokens,
    Resume,
    SettingsApplied,
    Shutdown,
    StepOutput,
    TokenDelta,
)
from sarathid.slo.controller import BudgetBounds, check_change
from sarathid.telemetry.delivery import Delivery
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.span import Span
from sarathid.telemetry.stalls import StallFinder

MAX_ENGINES_LOST = 3  # fewer than the restarts that the daemon allows, so that one request can't end it
NUM_LEARNED = 256  # iterations whose costs a new engine is told

log = logging.getLogger(__name__)

Observer = Callable[[StreamRecord], None]


class EngineClient:
    """Holds every request that has not ended, so that a new engine can carry all of them on.

    Everything happens on one event loop. Records reach the observers in the order in which the
    engine made them.
    """

    def __init__(
        self, max_queue_len: int = 1024, max_waiting_tokens: int = 1 << 20, *, sheds_overload: bool = False
    ) -> None:
        self.info: EngineInfo | None = None
        self.settings: EngineSettings | None = None
        self.is_ready = False
        self.silence = EngineSilence()
        self.deficits: dict[str, int] = {}  # tokens that owners who wait are owed, while several have requests
        self.num_served = 0  # requests that the present engine brought to a good end
        self.room = WaitingRoom(max_queue_len, max_waiting_tokens)
        self._sheds_overload = sheds_overload
        self._is_overloaded = False
        self._observers: list[Observer] = []
        self._requests = OpenRequests(self._publish)
        self._stalls = StallFinder()
        self._heard_before_s = self._heard_s = time.monotonic()
        self._link: EngineLink | None = None
        self._changes = PendingChanges()
        self._untold: StepOutput | None = None  # what was passed on, and is to be told of
        self._restart_gaps: list[TokenGap] = []  # those that another engine had begun, of tokens that are not told of
        self._unrecorded_s: float | None = None  # when tokens were made whose record is yet to come
        self._late: list[Delivery] = []  # of such tokens
        self._learned: deque[LearnedCost] = deque(maxlen=NUM_LEARNED)
        self._next_iteration = 0
        self._in_force_from = 0

    @property
    def num_in_flight(self) -> int:
        """Requests that have not ended or whose client has not got the end yet."""
        return self._requests.num_in_flight

    @property
    def _tbt_target_s(self) -> float | None:
        return None if self.settings is None else self.settings.slo.tbt_s

    @property
    def engine_pauses(self) -> Pauses:
        """When the engine's process was stopped, which its owner notes."""
        return self._stalls.engine_pauses

    def go_on(self) -> None:
        """Note that this process goes on after it was stopped, while it heard of the engine last or later.

        It was stopped no sooner than it heard of it the time before, which certainly was not just now.
        """
        self._stalls.daemon_pauses.add(Span(self._heard_before_s, time.monotonic()))

    def subscribe(self, observer: Observer) -> None:
        """Call `observer` with every record from now on, on the event loop."""
        self._observers.append(observer)

    async def connect(self, connection: socket.socket) -> None:
        """Wait until the new engine at the other end is ready, and give it what is unfinished.

        Whose readers wait for their next tokens come first, in the order in which they arrived, then the others.
        A request over which `MAX_ENGINES_LOST` engines died without a new token ends with an error.
        Raises `EngineFailed` when the engine says that it cannot start.
        """
        self._disconnect()
        self._link = await EngineLink.over(connection)
        self.silence = EngineSilence()
        ready = await self._first_word(self._link)
        self.info = ready.info
        self.silence = EngineSilence(ready.info.isolated_decode_s)
        self.num_served = 0
        self.settings = self.settings or ready.settings
        first_iteration = max(self._next_iteration, self._in_force_from)
        self._tell(Resume(first_iteration=first_iteration, settings=self.settings, learned=tuple(self._learned)))
        for stream in sorted(self._requests.unfinished(), key=_has_nothing_yet):
            self._resume(stream)
        self.is_ready = True

    async def run(self) -> None:
        """Pass messages on in both directions until cancelled; raises `EngineFailed` when the engine gives up."""
        assert self._link is not None, "there is an engine"
        try:
            while True:
                self._take(await self._link.receive())
                await asyncio.sleep(0)  # answers end for their clients before it is told what they took
                self._tell_of_step()
        finally:
            self._tell_of_step()

    async def close(self) -> None:
        """Tell the engine to end, and let go of it; observers hear no more, of requests that end from now on either."""
        self._tell(Shutdown())
        self._disconnect()
        self._observers.clear()

    def disconnected(self) -> None:
        """Note that the engine is gone: changes under way are refused, requests wait for the next one."""
        self._disconnect()

    def submit(
        self,
        prompt_token_ids: tuple[int, ...],
        sampling: SamplingParams,
        *,
        client: str = "",
        owner: str = "",
        priority: int = 0,
        cache_salt: str = "",
        timeout_s: float | None = None,
        is_further: bool = False,
    ) -> TokenStream:
        """Queue a request and return its stream, which ends with `TIMEOUT` if it has not ended after `timeout_s`.

        Owners share the engine fairly; of one owner's requests those with the least `priority` go first. For one that
        `is_further`, another answer to a request that was let in, there is room in any case.

        Raises `QueueFull` when too many wait or no engine has been ready yet, and `RequestRefused`
        when the request can never be served.
        """
        if not is_further:
            self.check_room(owner)
        assert self.info is not None, "there is no room before an engine was there"
        check_request(self.info, prompt_token_ids, sampling)
        stream = self._requests.make(
            prompt_token_ids,
            sampling,
            client=client,
            owner=owner,
            priority=priority,
            cache_salt=cache_salt,
            on_close=self._on_close,
            on_delivery=self._on_delivery,
        )
        if self.is_ready:
            self._tell(AddRequest(stream.request))
        if timeout_s is not None:
            stream.deadline = asyncio.get_running_loop().call_later(timeout_s, self._on_deadline, stream)
        self._requests.add(stream)
        return stream

    def cancel(self, request_id: int) -> bool:
        """End a request; its stream ends with `CANCELLED`. False when there is no such request."""
        stream = self._requests.find(request_id)
        if stream is None or stream.finish_reason is not None:
            return False
        self._cancel(stream, FinishReason.CANCELLED)
        return True

    async def change_settings(
        self,
        *,
        budget: BudgetChoice | None = None,
        policy: str | None = None,
        slo: SLOChange | None = None,
        if_revision: int | None = None,
        note: ChangeNote | None = None,
    ) -> SettingsApplied:
        """Retune from the engine's next iteration on; returns when the engine has said from which.

        Changes take effect in the order in which this is called. Raises `ControlRefused` when a value is out of range,
        no engine is there, or the change would not follow `if_revision`, counting those that the engine has yet to
        answer.
        """
        change = self.check_change(budget=budget, policy=policy, slo=slo, if_revision=if_revision)
        answer = self._changes.add(change, note or ChangeNote())
        self._tell(change)
        return await answer

    def check_change(
        self,
        *,
        budget: BudgetChoice | None = None,
        policy: str | None = None,
        slo: SLOChange | None = None,
        if_revision: int | None = None,
    ) -> ChangeSettings:
        """Return the change that the engine would be sent now; raises as `change_settings` does."""
        if self.info is None or self.settings is None or not self.is_ready:
            raise ControlRefused(ErrorCode.UNAVAILABLE, "the engine is not ready", "ask again when it is")
        change = self._changes.make(self.settings, budget=budget, policy=policy, slo=slo, if_revision=if_revision)
        check_change(change, BudgetBounds(self.info.min_token_budget, self.info.max_token_budget))
        return change

    def list_requests(self, now_s: float) -> tuple[RequestStatus, ...]:
        """Return what every request that has not ended does now, oldest first."""
        return self._requests.statuses(now_s)

    def ending_request(self, request_id: int, now_s: float) -> RequestStatus | None:
        """Return what a request did that has ended for its reader, while the engine has yet to tell of its end."""
        stream = self._requests.find(request_id)
        return None if stream is None or stream.finish_reason is None else stream.status(now_s)

    def check_room(self, owner: str = "") -> None:
        """Raise `QueueFull` when no request of an owner would be taken now, whatever it asks."""
        if self.info is None:
            raise QueueFull("the engine is starting; try again in a moment", cause="starting")
        self.room.check(self._requests, owner)
        if self._sheds_overload and self._is_overloaded and self._requests:
            raise QueueFull(
                "the answers under way take all the time that the target allows; try again later", cause="overload"
            )

    def _tell(self, command: EngineCommand) -> None:
        """Send a command, encoded where the caller sees what cannot be, if there is an engine."""
        body = encode(command)
        if self._link is not None:
            self._link.send(body)

    async def _first_word(self, link: EngineLink) -> EngineReady:
        """Return what an engine says when it is ready, before which it says no more than whom it waits for."""
        while isinstance(message := await link.receive(), EngineWaits):
            self.silence.heard(message)
        if isinstance(message, EngineFault):
            raise EngineFailed(message.message, message.exit_code)
        assert isinstance(message, EngineReady), "an engine that starts says nothing else"
        return message

    def _take(self, message: EngineMessage) -> None:
        self.silence.heard(message)
        self._heard_before_s, self._heard_s = self._heard_s, time.monotonic()
        match message:
            case IterationScheduled(chunks=chunks):
                for chunk in chunks:
                    if stream := self._requests.find(chunk.request_id):
                        stream.mark_scheduled(chunk)
                self._publish(message)
            case NewTokens(deltas=deltas, made_s=made_s, prompt_logprobs=prompt_logprobs):
                self._unrecorded_s = made_s
                self._pass_on(deltas, made_s, prompt_logprobs)
            case StepOutput():
                self._take_output(message)
            case SettingsApplied():
                self._take_settings(message)
            case EngineFault(message=text, exit_code=code):
                raise EngineFailed(text, code)
            case EngineReady():
                raise EngineFailed("the engine said twice that it is ready")

    def _take_output(self, output: StepOutput) -> None:
        if output.learned is not None:
            self._learned.append(output.learned)
        if output.stats is not None:
            self.deficits = output.deficits
            self._next_iteration = output.stats.sequence_number + 1
            self._requests.mirror(output.stats)
            self._unrecorded_s = None
        self._untold = output
        made_s = time.monotonic() if output.stats is None else output.stats.tokens_s
        self._pass_on(output.deltas, made_s, output.prompt_logprobs)

    def _pass_on(
        self, deltas: tuple[TokenDelta, ...], made_s: float, prompt_logprobs: tuple[PromptLogprobs, ...]
    ) -> None:
        self._restart_gaps += self._requests.pass_on(deltas, made_s, prompt_logprobs)
        self._requests.tell_readers(deltas)

    def _tell_of_step(self) -> None:
        """Tell what the last iteration was, if its tokens alone were passed on so far."""
        if self._untold is None:
            return
        output, self._untold = self._untold, None
        if output.stats is not None:
            self._publish(output.stats)
            self._tell_stalls(output.stats)
        if output.overload is not None:
            self._is_overloaded = output.overload.is_overloaded
            self._publish(output.overload)
        for stats in output.finished:
            self.num_served += stats.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
            self._requests.settle(stats)

    def _tell_stalls(self, stats: IterationStats) -> None:
        assert self.info is not None, "an engine says what it is before it has an iteration"
        restart_gaps, self._restart_gaps = self._restart_gaps, []
        gaps = (*stats.gaps, *restart_gaps)
        for stall in self._stalls.of_iteration(stats, gaps, self._tbt_target_s, self.info):
            self._tell_stall(stall)
        self._tell_late()

    def _tell_late(self) -> None:
        """Tell of the deliveries that were late, now that all is known of which their gaps may be made."""
        late, self._late = self._late, []
        for delivery in late:
            if (target_s := self._tbt_target_s) is None:
                break
            assert self.info is not None, "an engine says what it is before it has a token"
            if (stall := self._stalls.of_delivery(delivery, target_s, self.info)) is not None:
                self._tell_stall(stall)

    def _tell_stall(self, stall: StallEvent) -> None:
        for victim in stall.victims:
            if stream := self._requests.find(victim.request_id):
                stream.num_stalls += 1
        self._publish(stall)

    def _take_settings(self, applied: SettingsApplied) -> None:
        self.settings = applied.new
        self._in_force_from = applied.iteration
        self._is_overloaded = False  # by the settings before; if it is one by these, the engine says so again
        sent = self._changes.pop(applied.change_id)
        self._publish(
            SettingsChanged(
                time_s=time.monotonic(),
                iteration=applied.iteration,
                revision=applied.new.revision,
                token_budget=applied.new.token_budget,
                policy=applied.new.policy,
                slo=applied.new.slo,
                budget_mode=applied.new.budget_mode,
                is_target_set=applied.new.is_target_set,
                **msgspec.structs.asdict(sent.note),
            )
        )
        if not sent.answer.done():
            sent.answer.set_result(applied)

    def _publish(self, record: StreamRecord) -> None:
        self._tell_of_step()  # records come in the order of what they tell of
        for observer in self._observers:
            observer(record)

    def _resume(self, stream: TokenStream) -> None:
        if stream.num_engines_lost >= MAX_ENGINES_LOST:
            log.error(
                "request %d of %s is poisonous: %d engines were lost over it in a row",
                stream.request_id,
                stream.request.client or "?",
                stream.num_engines_lost,
            )
            self._end(stream, FinishReason.ERROR)
        else:
            self._tell(AddRequest(stream.resumed_request()))

    def _end(self, stream: TokenStream, reason: FinishReason) -> None:
        """End a request that no engine has."""
        self._requests.end(stream, reason)
        self._requests.settle_unheard(stream)

    def _cancel(self, stream: TokenStream, reason: FinishReason) -> None:
        """End a request for its reader now; an engine that has it hears of that behind its iteration."""
        if self.is_ready:
            self._requests.end(stream, reason)
            self._tell(CancelRequest(stream.request_id, reason))
        else:
            self._end(stream, reason)

    def _on_deadline(self, stream: TokenStream) -> None:
        if stream.finish_reason is None:
            self._cancel(stream, FinishReason.TIMEOUT)

    def _on_close(self, stream: TokenStream, reason: FinishReason) -> None:
        self._tell_of_step()  # who has an answer may ask for its record at once
        if stream.finish_reason is None:
            self._cancel(stream, reason)
        else:
            self._requests.let_go_if_over(stream)

    def _on_delivery(self, stream: TokenStream, written_s: float, unread: Pauses) -> None:
        target_s = self._tbt_target_s
        if target_s is None or written_s - stream.awaited_s <= target_s:
            return
        self._late.append(stream.delivery(written_s, unread))
        if self._unrecorded_s is None:
            self._tell_of_step()
            self._tell_late()

    def _disconnect(self) -> None:
        self.is_ready = False
        self._is_overloaded = False
        self.deficits = {}
        self._changes.refuse_all()
        self._tell_late()
        self._stalls.lose_engine(self._unrecorded_s)
        self._unrecorded_s = None
        self._requests.lose_engine()
        if self._link is not None:
            self._link.close()
            self._link = None


def _has_nothing_yet(stream: TokenStream) -> bool:
    return not stream.output_token_ids
