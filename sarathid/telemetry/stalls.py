"""Says what each TBT above the target was made of: arithmetic over what happened in it, in whichever process."""

from collections.abc import Iterable

import msgspec

from sarathid.protocol.stats import EngineInfo, IterationStats, StallCause, StallEvent, TokenGap
from sarathid.telemetry.delivery import Delivery
from sarathid.telemetry.parts import add, main_cause
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.prevention import preventing_budget
from sarathid.telemetry.span import Span
from sarathid.telemetry.time_account import Account, TimeAccount


class StallFinder:
    """Finds stalls where tokens are made and where they are written to clients; splits the worst gap of each by cause.

    `engine_pauses` and `daemon_pauses` say when the processes were stopped.
    """

    def __init__(self) -> None:
        self._account = TimeAccount()
        self.daemon_pauses = Pauses()

    @property
    def engine_pauses(self) -> Pauses:
        return self._account.pauses

    def lose_engine(self, unrecorded_s: float | None = None) -> None:
        """Note that the engine is gone; what its requests wait behind its last tokens is the restart's.

        Those were made at `unrecorded_s`, unless by the last iteration of which there is a record.
        """
        self._account.lose_engine(unrecorded_s)

    def of_iteration(
        self, stats: IterationStats, gaps: Iterable[TokenGap], target_s: float | None, engine: EngineInfo
    ) -> tuple[StallEvent, ...]:
        """Return the stalls that ended with an iteration of `engine`, an event for each cause, the worst first.

        `gaps` are those between the tokens that it gave and the ones before, which another engine may have made.
        """
        self._account.observe(stats, engine.isolated_decode_s)
        late = () if target_s is None else tuple(gap for gap in gaps if gap.tbt_s > target_s)
        if target_s is None or not late:
            return ()
        by_cause: dict[StallCause, list[tuple[TokenGap, Account]]] = {}
        for gap in sorted(late, key=lambda gap: -gap.tbt_s):
            account = self._account.of(Span(stats.tokens_s - gap.tbt_s, stats.tokens_s), gap.request_id)
            by_cause.setdefault(main_cause(account.parts), []).append((gap, account))
        return tuple(
            _event(
                stats.sequence_number, stats.end_s, target_s, tuple(gap for gap, _ in victims), victims[0][1], engine
            )
            for victims in by_cause.values()
        )

    def of_delivery(self, delivery: Delivery, target_s: float, engine: EngineInfo) -> StallEvent | None:
        """Return the stall that a delivery ended, None where there is none or it was told of as the engine's."""
        was_told = delivery.tbt_s > target_s and delivery.late_s <= target_s
        if delivery.gap_s <= target_s or was_told:
            return None
        account = self._account.of(delivery.generating, delivery.request_id)
        add(account.parts, self._parts_of_way(delivery))
        return _event(
            self._account.newest_iteration(delivery.generated_s),
            delivery.written_s,
            target_s,
            (TokenGap(delivery.request_id, delivery.gap_s),),
            account,
            engine,
            is_delivery=True,
        )

    def _parts_of_way(self, delivery: Delivery) -> dict[StallCause, float]:
        """Return what a token's way took, by cause: what nobody was stopped for is the event loop's."""
        way, left_s = delivery.under_way, delivery.late_s
        parts: dict[StallCause, float] = {}
        for cause, pauses in (
            (StallCause.ENGINE_PAUSE, self.engine_pauses),
            (StallCause.DAEMON_PAUSE, self.daemon_pauses),
            (StallCause.SLOW_READER, delivery.unread),
        ):
            parts[cause] = min(left_s, pauses.seconds_within(way))
            left_s -= parts[cause]
        return parts | {StallCause.EVENT_LOOP: left_s}


def _event(
    iteration: int,
    time_s: float,
    target_s: float,
    victims: tuple[TokenGap, ...],
    account: Account,
    engine: EngineInfo,
    *,
    is_delivery: bool = False,
) -> StallEvent:
    culprit = account.culprit
    stall = StallEvent(
        iteration=iteration,
        time_s=time_s,
        target_s=target_s,
        victims=victims,
        cause=main_cause(account.parts),
        parts={cause: seconds for cause, seconds in account.parts.items() if seconds > 0.0},
        chunk=None if culprit is None else culprit.chunk,
        chunk_iteration=None if culprit is None else culprit.sequence_number,
        is_delivery=is_delivery,
    )
    if culprit is None:
        return stall
    return msgspec.structs.replace(stall, preventing_budget=preventing_budget(stall, culprit, engine))
