"""What the commands that change settings share: their options, sending the change, waiting for what becomes of it."""

import inspect
import time
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import msgspec
import typer

from sarathictl import units
from sarathictl.client.control import ControlClient
from sarathictl.commands.plan import ask_plan
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathictl.state.forecast import candidate_of, plan_lines
from sarathictl.state.retuning import describe_change, describe_outcome
from sarathid.errors import ConfigError, ControlRefused
from sarathid.protocol.control import ChangeRequest, ErrorCode, Retuned, Undo
from sarathid.protocol.revisions import Revision, RevisionState

POLL_S = 0.5
_TAKEN_BACK = (RevisionState.EXPIRED, RevisionState.GUARDED, RevisionState.UNDONE)


def retunes(ask: Callable[..., ChangeRequest]) -> Callable[..., None]:
    """Make a command of a function from a command's own arguments to what it asks the daemon for.

    The command takes those arguments and the options of `send`, which Typer reads off its signature.
    """
    own = inspect.signature(ask).parameters
    shared = {name: found for name, found in inspect.signature(send).parameters.items() if name != "op"}

    @wraps(ask)
    def command(**given: Any) -> None:
        arguments = {name: given.pop(name) for name in own}
        send(op=ask(**arguments), **given)

    parameters = sorted(
        (*own.values(), *shared.values()), key=lambda parameter: parameter.default is not parameter.empty
    )
    command.__dict__["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def send(
    context: typer.Context,
    op: ChangeRequest,
    if_rev: Annotated[
        int | None, typer.Option("--if-rev", min=0, metavar="REV", help="Only if the settings are at this revision.")
    ] = None,
    confirm: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Take it back after this (60s, 5m) unless `keep` is said.")
    ] = None,
    guard: Annotated[
        str, typer.Option(metavar="EXPR", help='Take it back when this holds no longer: "tbt.p99 < 120ms and ...".')
    ] = "",
    reason: Annotated[str, typer.Option("-m", "--reason", metavar="WORDS", help="Why, for the audit log.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change and what would come of it; change nothing.")
    ] = False,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="First see what would come of it, and note that in the audit log.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end on probation; exit 9 if taken back.")] = False,
    json: JsonOption = False,
) -> None:
    """Send a change on the terms that the options give, and print what it changed or what became of it."""
    invocation = invocation_of(context, is_json=json)
    if isinstance(op, Undo) and invocation.is_sure:
        op = msgspec.structs.replace(op, force=True)
    confirm_s = None if confirm is None else units.parse_duration_s(confirm)
    try:
        asked = msgspec.structs.replace(
            op, if_revision=if_rev, confirm_s=confirm_s, guard=guard, reason=reason, dry_run=dry_run
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with invocation.connect() as client:
        if dry_run:
            return _preview(invocation, client.request(asked, Retuned))
        if forecast:
            asked = _with_forecast(invocation, client, asked)
        retuned = client.request(asked, Retuned)
        if not wait:
            return invocation.answer(msgspec.to_builtins(retuned), describe_change(retuned))
        invocation.say(describe_change(retuned))
        outcome = wait_for_outcome(client, retuned.new.revision)
    invocation.answer(msgspec.to_builtins(outcome), describe_outcome(outcome))
    raise typer.Exit(ExitCode.REVERTED if outcome.state in _TAKEN_BACK else ExitCode.DONE)


def _preview(invocation: Invocation, retuned: Retuned) -> None:
    """Print what a change would do, with its forecast if there can be one."""
    fields, words = msgspec.to_builtins(retuned), describe_change(retuned)
    try:
        planned = ask_plan(invocation, (candidate_of(retuned.new),))
    except ControlRefused as refused:
        invocation.say(f"no forecast: {refused}")
        return invocation.answer({**fields, "plan": None}, words)
    return invocation.answer({**fields, "plan": msgspec.to_builtins(planned)}, "\n".join((words, *plan_lines(planned))))


def _with_forecast(invocation: Invocation, client: ControlClient, asked: ChangeRequest) -> ChangeRequest:
    """Say what would come of a change, and return it with that; raises `ControlRefused` when it can't be told."""
    previewed = client.request(msgspec.structs.replace(asked, dry_run=True), Retuned)
    planned = ask_plan(invocation, (candidate_of(previewed.new),))
    invocation.say("\n".join(plan_lines(planned)))
    return msgspec.structs.replace(asked, predicted=planned.forecasts[0].figures)


def wait_for_outcome(client: ControlClient, number: int) -> Revision:
    """Return a revision when it is no longer on probation.

    Raises `ControlRefused` when the daemon does not know it any more.
    """
    while True:
        revisions = client.history(number)
        found = next((revision for revision in revisions if revision.revision == number), None)
        if found is None:
            raise ControlRefused(ErrorCode.NOT_FOUND, f"the daemon does not know revision {number} any more")
        if found.state is not RevisionState.ON_PROBATION:
            return found
        time.sleep(POLL_S)
