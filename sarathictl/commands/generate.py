"""`sarathictl generate PROMPT`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import print_json
from sarathictl.streaming import (
    MaxTokens,
    MinP,
    Priority,
    Seed,
    Stats,
    Stop,
    Temperature,
    TopK,
    TopP,
    describe_timing,
    reply_fields,
    stream_reply,
)
from sarathid.errors import ConfigError


def generate(
    context: typer.Context,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="The text to go on from; - reads it from stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read the prompt from a file.")
    ] = None,
    max_tokens: MaxTokens = 128,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Seed = None,
    stop: Stop = None,
    priority: Priority = None,
    stats: Stats = False,
    json: JsonOption = False,
) -> None:
    """Complete a prompt, streaming the text."""
    invocation = invocation_of(context, is_json=json)
    body = {
        "prompt": _read_prompt(prompt, file),
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "stop": stop,
        "priority": priority,
    }
    reply = stream_reply(invocation, body)
    if invocation.is_json:
        print_json(reply_fields(reply))
    elif stats:
        invocation.say(describe_timing(reply))


def _read_prompt(prompt: str | None, file: Path | None) -> str:
    """Return the prompt that is given, from a file or stdin where that is wanted; raises `ConfigError` without one."""
    if (prompt is None) == (file is None):
        raise ConfigError("give a prompt, or --file with one")
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: {error}") from error
    assert prompt is not None
    return sys.stdin.read() if prompt == "-" else prompt
