"""A recording as tables: a row an iteration, a row a request, a row a stall; moments in seconds since the epoch."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any, TypeAlias

from sarathictl.export.told import Names, records_of
from sarathid.protocol.stats import IterationStats, RequestStats, StallCause, StallEvent, StreamRecord
from sarathid.tape.tape import Tape

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how what a spreadsheet would compute begins

Cell: TypeAlias = str | int | float | None


class TableName(StrEnum):
    """The tables that a recording has."""

    ITERATIONS = "iterations"
    REQUESTS = "requests"
    STALLS = "stalls"


@dataclass(frozen=True, slots=True)
class Table:
    """Which records have a row, and its cells by column, given a record and what its times lack to the epoch."""

    kind: type[StreamRecord]
    row: Callable[[Any, float], Mapping[str, Cell]]


def write_csv(tape: Tape, file: IO[bytes], names: Names, name: TableName) -> None:
    """Write a table with its headings; an empty cell is one that nothing was seen for."""
    table, offset_s = TABLES[name], tape.header.wall_offset_s
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer: csv.DictWriter[str] | None = None
    for record in records_of(tape, names):
        if isinstance(record, table.kind):
            row = table.row(record, offset_s)
            if writer is None:
                writer = csv.DictWriter(text, row, lineterminator="\n")
                writer.writeheader()
            writer.writerow({column: _harmless(cell) for column, cell in row.items()})
    text.detach()


def _iteration(stats: IterationStats, offset_s: float) -> Mapping[str, Cell]:
    return {
        "at_s": stats.end_s + offset_s,
        "iteration": stats.sequence_number,
        "started_at_s": stats.start_s + offset_s,
        "schedule_s": stats.schedule_s,
        "execute_s": stats.execute_s,
        "emit_s": stats.emit_s,
        "idle_s": stats.idle_s,
        "gc_s": stats.gc_s,
        "bubble_s": sum([stage.bubble_s for stage in stats.stages]),
        "predicted_s": stats.predicted_s,
        "predicted_decode_s": stats.predicted_decode_s,
        "policy": stats.policy,
        "revision": stats.revision,
        "token_budget": stats.token_budget,
        "bound": stats.bound.value,
        "num_decode_tokens": stats.num_decode_tokens,
        "num_prefill_tokens": stats.num_prefill_tokens,
        "num_cached_tokens": stats.num_cached_tokens,
        "num_chunks": len(stats.chunks),
        "num_first_tokens": len(stats.first_tokens),
        "num_gaps": len(stats.gaps),
        "tbt_max_s": max([gap.tbt_s for gap in stats.gaps], default=None),
        "num_running": stats.num_running,
        "num_waiting": stats.num_waiting,
        "num_preempted": stats.num_preempted,
        "blocked_by": None if stats.blocked_by is None else stats.blocked_by.value,
        "num_blocks_used": stats.num_blocks_used,
        "num_blocks_free": stats.num_blocks_free,
    }


def _request(stats: RequestStats, offset_s: float) -> Mapping[str, Cell]:
    return {
        "at_s": stats.finished_s + offset_s,
        "request_id": stats.request_id,
        "client": stats.client,
        "finish_reason": stats.finish_reason.value,
        "arrived_at_s": stats.arrival_s + offset_s,
        "queue_s": None if stats.scheduled_s is None else stats.scheduled_s - stats.arrival_s,
        "ttft_s": stats.ttft_s,
        "tbt_p50_s": stats.tbt_p50_s,
        "tbt_max_s": stats.tbt_max_s,
        "delivered_tbt_p50_s": stats.delivered_tbt_p50_s,
        "delivered_tbt_max_s": stats.delivered_tbt_max_s,
        "num_prompt_tokens": stats.num_prompt_tokens,
        "num_cached_tokens": stats.num_cached_tokens,
        "num_output_tokens": stats.num_output_tokens,
        "num_stalls": stats.num_stalls,
        "num_preemptions": stats.num_preemptions,
        "num_recomputed_tokens": stats.num_recomputed_tokens,
    }


def _stall(stall: StallEvent, offset_s: float) -> Mapping[str, Cell]:
    chunk = stall.chunk
    return {
        "at_s": stall.time_s + offset_s,
        "iteration": stall.iteration,
        "target_s": stall.target_s,
        "worst_gap_s": stall.worst_gap_s,
        "num_victims": len(stall.victims),
        "victims": " ".join([str(victim.request_id) for victim in stall.victims]),
        "cause": stall.cause.value,
        **{f"{cause.replace('-', '_')}_s": stall.parts.get(cause, 0.0) for cause in StallCause},
        "chunk_iteration": stall.chunk_iteration,
        "chunk_request_id": None if chunk is None else chunk.request_id,
        "chunk_start": None if chunk is None else chunk.start,
        "chunk_length": None if chunk is None else chunk.length,
        "chunk_num_tokens": None if chunk is None else chunk.num_tokens,
        "preventing_budget": stall.preventing_budget,
    }


def _harmless(cell: Cell) -> Cell:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


TABLES = {
    TableName.ITERATIONS: Table(IterationStats, _iteration),
    TableName.REQUESTS: Table(RequestStats, _request),
    TableName.STALLS: Table(StallEvent, _stall),
}
