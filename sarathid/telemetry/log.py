"""The daemon's log: one line an event, on stderr, for people."""

import logging

from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import Overload, RequestStats, SettingsChanged, StallEvent, StreamRecord

_LEVELS = (logging.INFO, logging.DEBUG)

log = logging.getLogger(__name__)


def configure(verbosity: int) -> None:
    """Send our log to stderr: 0 says what the daemon does, 1 also what becomes of each request.

    Of a request that fails we write ourselves; uvicorn would also write of those that end with the daemon, and asyncio
    warns of each write to a client that has just gone.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("sarathid").setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def targets_in_words(slo: SLO) -> str:
    """Return `"TBT P99 within 100 ms, TTFT P95 within 2 s"`, or `"no target"`."""
    targets = (("TBT P99", slo.tbt_s), ("TTFT P95", slo.ttft_s))
    return ", ".join(f"{name} within {_time(target_s)}" for name, target_s in targets if target_s) or "no target"


def log_record(record: StreamRecord) -> None:
    """Write of a record that a person wants to read of."""
    match record:
        case SettingsChanged():
            log.info(
                "revision %d by %s: budget %s, %s, %s from iteration %d on%s",
                record.revision,
                record.changed_by or "?",
                record.settings.budget,
                record.policy,
                targets_in_words(record.slo),
                record.iteration,
                f": {record.reason}" if record.reason else "",
            )
        case Overload(is_overloaded=True):
            log.warning(
                "iteration %d: %d decodes take %.3g ms alone, of %.3g ms that are planned for; %d like them would fit",
                record.iteration,
                record.num_decodes,
                record.decode_s * 1e3,
                max(0.0, record.planned_s * 1e3),
                record.most_decodes,
            )
        case Overload():
            log.info("iteration %d: the decodes leave time for prompts again", record.iteration)
        case RequestStats():
            log.debug(
                "request %d of %s: %d + %d tokens, %s",
                record.request_id,
                record.client or "?",
                record.num_prompt_tokens,
                record.num_output_tokens,
                record.finish_reason,
            )
        case StallEvent():
            log.debug(
                "iteration %d: %d requests stalled, %.3f s at worst, for %s",
                record.iteration,
                len(record.victims),
                record.worst_gap_s,
                record.cause,
            )


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.6g} s"
