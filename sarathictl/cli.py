"""`sarathictl`: watch a sarathid daemon, ask it, retune it."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

from sarathictl.output import ExitCode, Form, exit_code_of, print_error
from sarathictl.short_path import read_short_call
from sarathid.errors import SarathiError


def main() -> None:
    """Run the command line; ends the process with one of `output.ExitCode`."""
    try:
        call = read_short_call(sys.argv[1:])
        if call is None:
            _run_program()
        else:
            sys.exit(call())
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()  # else the interpreter tries once more at exit, and complains
        sys.exit(ExitCode.PIPE_CLOSED)
    except (SarathiError, TimeoutError) as error:
        print_error(error, is_json=_wants_json(sys.argv))
        sys.exit(exit_code_of(error))


def _run_program() -> None:
    """Have the whole command line understood."""
    from sarathictl import shell_completion  # deferred, with Typer: it takes longer than most answers
    from sarathictl.program import app
    from sarathid.command_line import run

    if shell_completion.is_asked():
        shell_completion.register_shells()
    run(app, "sarathictl")


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether errors are wanted as JSON, of arguments that may be too wrong to be understood."""
    forms = (Form.JSON, Form.JSONL)
    chosen = (word for flag, word in pairwise(arguments) if flag in ("-o", "--output"))
    return "--json" in arguments or any(word in forms for word in chosen)
