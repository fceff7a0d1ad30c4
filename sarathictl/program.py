"""The command line of `sarathictl` as Typer understands it. One module a command, loaded when it is called."""

import os
import shlex
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sarathictl.call import DEFAULT_TIMEOUT_S, GlobalOptions
from sarathictl.candidates import context_names
from sarathictl.client.endpoint import SSH_SCHEME, Endpoint, local_endpoint
from sarathictl.output import Form
from sarathid.version import __version__

COMMANDS = {
    "top": "Watch iterations, stalls and requests live.",
    "status": "Show what runs, with which settings, and how well.",
    "get": "Print the settings in force, or one of them.",
    "requests": "List the requests that the daemon holds now.",
    "stalls": "Print who waited longer than the target, how long, and because of whom.",
    "events": "Print what happened: changes, stalls, overloads, preemptions, failures.",
    "latency": "Print TBT and TTFT by span, against their targets, or by client.",
    "kv": "Print how full the KV cache is, and when it will be full.",
    "stages": "Print how long each pipeline stage worked, and how long it idled although there was work.",
    "fleet": "Print how every daemon is that has a name in ctl.toml.",
    "why": "Say why the budget is what it is, or why a request waits or stalled.",
    "doctor": "Say what is wrong with the daemon, and what to do about it.",
    "set-budget": "Change the token budget of an iteration, at once.",
    "set-policy": "Change the scheduling policy, at once.",
    "set-slo": "Change the latency targets, at once.",
    "keep": "Keep a change that is on probation.",
    "plan": "Say what other settings would have done in the last minutes.",
    "undo": "Put back what a change replaced.",
    "history": "List the changes of the settings since the daemon started.",
    "audit": "Print the audit log: who changed what, why, and what came of it.",
    "record": "Save the iteration log to a file: what was, or from now on.",
    "replay": "Play a recording as it happened, or beside what would have been.",
    "export": "Print what was recorded in the forms that other tools read, and what these need for metrics.",
    "support-bundle": "Gather what somebody needs who is asked for help.",
    "cancel": "End requests now.",
    "drain": "Take nothing new, finish what runs, then stop the daemon.",
    "pause": "Take nothing new and finish what runs, but stay.",
    "resume": "Take new requests again after a pause.",
    "generate": "Complete a prompt, streaming the text.",
    "chat": "Talk with the model.",
    "bench": "Put a known load on the daemon and measure what its clients see.",
    "selftest": "Put the daemon to the test: malformed frames, killed engines, many requests, too many.",
    "context": "Give daemons names, and choose the one that is meant.",
    "config": "Say what is in force for this call.",
    "schema": "Print the JSON Schema of what the commands print with --json.",
    "completion": "Print what has bash, zsh or fish complete the command line.",
    "man": "Show the manual of this program, or of one command.",
    "demo": "Serve a small model, freeze its streams with long prompts, then thaw them.",
}

INNER_COMMANDS = ("_stdio",)  # for our own use at the other end of an ssh
ALIASES = {"ls": "requests", "submit": "generate"}
DEFAULT_FLAGS = {"top": "SARATHICTL_TOP"}  # the variable that holds a command's flags of every day


class CommandTable(TyperGroup):
    """Imports a command's module when it is called, so that `--help` needs none of them.

    The module of `set-budget` is `sarathictl.commands.set_budget`, its function `set_budget`; that of
    a command with commands of its own holds a `Typer` of that name.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS and cmd_name not in INNER_COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"sarathictl.commands.{name}"), name)
        if isinstance(command, typer.Typer):
            return typer.main.get_command(command)
        lone = typer.Typer(add_completion=False, rich_markup_mode=None)
        lone.command(cmd_name)(command)
        return typer.main.get_command(lone)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        usual = os.environ.get(DEFAULT_FLAGS.get(name or "", ""), "")
        return name, command, [*shlex.split(usual), *rest]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=CommandTable,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"sarathictl {__version__}")
        raise typer.Exit


@app.callback()
def sarathictl(
    context: typer.Context,
    addr: Annotated[
        str | None,
        typer.Option(
            "--addr", "-A", metavar="DIR", help="The daemon's runtime directory, unix://DIR or ssh://[USER@]HOST[/DIR]."
        ),
    ] = None,
    context_name: Annotated[
        str | None,
        typer.Option(
            "--context", "-c", metavar="NAME", help="A daemon by its name in ctl.toml.", autocompletion=context_names
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="How long to wait for an answer.")
    ] = DEFAULT_TIMEOUT_S,
    form: Annotated[
        Form,
        typer.Option("--output", "-o", help="How answers are written; wide says more, jsonl and csv are a row a line."),
    ] = Form.TABLE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, errors too (-o json).")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours (as $NO_COLOR).")] = False,
    ascii_: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters alone.")] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Change nothing, whatever the daemon permits.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Answer yes where there would be a question.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing beside the answer.")] = False,
    version: Annotated[  # noqa: ARG001 (its callback answers)
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Watch a sarathid daemon, ask it, and retune it while it runs."""
    options = GlobalOptions(
        addr=addr,
        context=context_name,
        timeout_s=timeout,
        form=Form.JSON if json else form,
        is_colorless=no_color,
        is_ascii=ascii_,
        is_read_only=read_only,
        is_sure=yes,
        is_quiet=quiet,
    )
    choice = options.choose()
    context.obj = options.invocation(choice, _endpoint_of(choice.addr, context))


def _endpoint_of(addr: str, context: typer.Context) -> Endpoint:
    """Return where the daemon is reached; for one over ssh, through a bridge that lasts as long as the command."""
    if not addr.startswith(SSH_SCHEME):
        return local_endpoint(addr)
    from sarathictl.client.ssh_bridge import SshBridge, read_ssh_address  # deferred: few calls go to another machine

    bridge = SshBridge(read_ssh_address(addr))
    context.call_on_close(bridge.close)
    return bridge.endpoint
