"""Reads the configuration again while the daemon runs, and applies what can change live."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
import zmq

from sarathid.config import Grants, resolve_target_s
from sarathid.errors import ConfigError, ControlRefused
from sarathid.protocol.control import ChangeRequest, SetBudget, SetPolicy, SetSLO
from sarathid.protocol.slo import SLOChange
from sarathid.server.retuning import Retuner

REASON = "the configuration was read again"
LIVE = frozenset({"token_budget", "policy", "slo_tbt", "slo_ttft", "roles"})

Values: TypeAlias = Mapping[str, Any]
"""Every setting of the daemon by its name in the file, as it was read."""

log = logging.getLogger(__name__)


class Reloader:
    """Makes revisions of what is new since the configuration was last read; an operator's changes stay otherwise.

    `read` returns the settings and raises `ConfigError` when any of them can't be right. `isolated_decode_s()` is what
    targets such as `5x` are multiples of, and `grant` puts roles in force.
    """

    def __init__(
        self,
        read: Callable[[], Values],
        retuner: Retuner,
        isolated_decode_s: Callable[[], float],
        grant: Callable[[Grants], None],
    ) -> None:
        self._read = read
        self._retuner = retuner
        self._isolated_decode_s = isolated_decode_s
        self._grant = grant
        self._at_start = self._latest = read()

    async def reload(self) -> None:
        """Apply the configuration, or keep all as it is and say why in one line of the log."""
        try:
            values = await asyncio.to_thread(self._read)  # the file may lie on a disk that does not answer
            await self._apply(values)
        except (ConfigError, ControlRefused, OSError, zmq.ZMQError, RuntimeError) as error:
            # The last three: there is no descriptor, or no thread, for what has to be looked up or opened.
            log.error("the configuration is not taken over: %s", error)
            return
        self._latest = values
        pending = sorted(name for name in differences(self._at_start, values) if name not in LIVE)
        if pending:
            log.warning("a restart would change %s", ", ".join(pending))

    async def _apply(self, values: Values) -> None:
        changed = differences(self._latest, values) & LIVE
        label = f"{os.getuid()}/{os.getpid()}/sarathid"
        ops = tuple(changes(values, changed, self._isolated_decode_s()))
        for op in ops:  # one that would be refused keeps the others from being made
            await self._retuner.change(msgspec.structs.replace(op, dry_run=True), label)
        for op in ops:
            await self._retuner.change(op, label)
        if "roles" in changed:
            self._grant(values["roles"])
        log.info("the configuration was read again and changes %s", ", ".join(sorted(changed)) or "nothing live")


def differences(old: Values, new: Values) -> set[str]:
    """Return the names of the settings that differ."""
    return {name for name in new if new[name] != old[name]}


def changes(values: Values, changed: set[str], isolated_decode_s: float) -> Iterator[ChangeRequest]:
    """Yield what an operator would ask for to put the changed settings in force."""
    if "policy" in changed:
        yield SetPolicy(policy=values["policy"], reason=REASON)
    if "token_budget" in changed:
        yield SetBudget(budget=values["token_budget"], reason=REASON)
    targets = {
        field: None if values[name] is None else resolve_target_s(values[name], isolated_decode_s)
        for name, field in (("slo_tbt", "tbt_s"), ("slo_ttft", "ttft_s"))
        if name in changed
    }
    if targets:
        yield SetSLO(slo=SLOChange(**targets), reason=REASON)
