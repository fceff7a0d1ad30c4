"""How `generate` and `chat` ask the model and print its answer while it comes."""

import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Annotated, Any, TypeAlias

import typer

from sarathictl import units
from sarathictl.client.api import iterate_completion
from sarathictl.client.reply import Reply
from sarathictl.invocation import Invocation

MaxTokens: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Stop after so many tokens.")]
Temperature: TypeAlias = Annotated[float | None, typer.Option(min=0.0, max=2.0, help="0 is greedy.")]
TopK: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Draw among the k likeliest tokens.")]
TopP: TypeAlias = Annotated[float | None, typer.Option(max=1.0, help="Draw among tokens of this much probability.")]
MinP: TypeAlias = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Leave out tokens below this share of the likeliest.")
]
Seed: TypeAlias = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same text.")]
Stop: TypeAlias = Annotated[list[str] | None, typer.Option(help="Stop before this text; may be repeated.")]
Priority: TypeAlias = Annotated[
    int | None, typer.Option(min=-10, max=10, help="Less is earlier among your own requests [0].")
]
Stats: TypeAlias = Annotated[bool, typer.Option("--stats", help="Say at the end how fast the text came.")]


def stream_reply(invocation: Invocation, body: Mapping[str, Any]) -> Reply:
    """Ask for a completion, print its text as it comes (unless JSON is wanted), and return it whole."""
    asked = {name: value for name, value in body.items() if value is not None}
    reply = Reply(asked_s=time.monotonic())
    events = iterate_completion(invocation.endpoint.api, {**asked, "stream_options": {"include_usage": True}})
    with closing(events):
        for piece in reply.read(events):
            if not invocation.is_json:
                _write(piece)
    if not invocation.is_json:
        _write("\n")
    return reply


def describe_timing(reply: Reply) -> str:
    """Return how many tokens came, why they ended, TTFT and the gaps, as this client saw them."""
    figures = (("p50", reply.gaps.percentile(0.5)), ("p99", reply.gaps.percentile(0.99)), ("max", reply.gaps.max_s))
    gaps = ", ".join(f"{name} {units.duration(value)}" for name, value in figures)
    ended = f"{units.tokens(_num_tokens(reply))}, ended by {reply.finish_reason}"
    return f"{ended}; first after {units.duration(reply.ttft_s)}; gaps {gaps}"


def reply_fields(reply: Reply) -> dict[str, Any]:
    """Return an answer and its timing as JSON fields, times in seconds."""
    return {
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "num_output_tokens": _num_tokens(reply),
        "ttft_s": reply.ttft_s,
        "gap_p50_s": reply.gaps.percentile(0.5),
        "gap_p99_s": reply.gaps.percentile(0.99),
        "gap_max_s": reply.gaps.max_s,
    }


def _num_tokens(reply: Reply) -> int:
    return reply.num_pieces if reply.num_output_tokens is None else reply.num_output_tokens


def _write(piece: str) -> None:
    """Write a piece to stdout at once; a terminal gets no character that it might obey."""
    sys.stdout.write(units.printable_lines(piece) if sys.stdout.isatty() else piece)
    sys.stdout.flush()
