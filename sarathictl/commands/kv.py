"""`sarathictl kv`: the KV cache, and when it will be full."""

import typer

from sarathictl import units
from sarathictl.commands.snapshot import view_now
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.engine_view import EngineView
from sarathictl.state.facts import Fact, as_text


def kv(context: typer.Context, again: WatchOption = False, json: JsonOption = False) -> None:
    """Print how full the KV cache is, and when it will be full."""
    invocation = invocation_of(context, is_json=json)

    def answer() -> None:
        view = view_now(invocation)
        fields = {
            "num_blocks_used": view.num_blocks_used,
            "num_blocks_free": view.num_blocks_free,
            "num_watermark_blocks": view.info.num_watermark_blocks if view.info else None,
            "block_size": view.info.block_size if view.info else None,
            "growth_per_s": view.kv_growth,
            "full_in_s": view.kv_full_in_s,
            "num_preempted": view.num_preempted,
        }
        invocation.answer(fields, as_text(_facts(view)))

    watch(invocation, answer, is_repeated=again)


def _facts(view: EngineView) -> list[Fact]:
    num_blocks = view.num_blocks_used + view.num_blocks_free
    facts = [("used", f"{units.share(view.kv_share)}, {view.num_blocks_used} of {num_blocks} blocks")]
    if view.info is not None:
        facts.append(("size", f"{units.size(view.info.kv_cache_bytes)}, {view.info.block_size} tokens a block"))
        facts.append(("watermark", f"new requests leave {view.info.num_watermark_blocks} blocks free"))
    full = units.ABSENT if view.kv_full_in_s is None else f"in {units.duration(view.kv_full_in_s)} at this rate"
    return [*facts, ("full", full), ("preempted", f"{view.num_preempted} wait to go on")]
