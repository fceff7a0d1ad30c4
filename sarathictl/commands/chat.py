"""`sarathictl chat`."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

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

_PROMPT = "you> "


def chat(
    context: typer.Context,
    message: Annotated[
        str | None, typer.Argument(metavar="MESSAGE", help="Say this and print one answer; without it, talk on.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told before you speak.")] = None,
    max_tokens: MaxTokens = None,
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
    """Talk with the model.

    Without a message, an empty line or the end of input ends the talk.
    """
    invocation = invocation_of(context, is_json=json)
    options = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "stop": stop,
        "priority": priority,
    }
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for said in _said_on_terminal() if message is None else (message,):
        messages.append({"role": "user", "content": said})
        reply = stream_reply(invocation, {"messages": messages, **options})
        messages.append({"role": "assistant", "content": reply.text})
        if invocation.is_json:
            print_json(reply_fields(reply))
        elif stats:
            invocation.say(describe_timing(reply))


def _said_on_terminal() -> Iterator[str]:
    """Yield lines from stdin, asking for each where a person types them, until an empty one or the end."""
    while True:
        if sys.stdin.isatty():
            sys.stderr.write(_PROMPT)
            sys.stderr.flush()
        said = sys.stdin.readline().rstrip("\n")
        if not said:
            return
        yield said
