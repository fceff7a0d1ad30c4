"""`sarathictl generate PROMPT`."""

import sys
from typing import Annotated

import typer

from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import print_json
from sarathictl.streaming import (
    MaxTokens,
    MinP,
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


def generate(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to go on from; - reads it from stdin.")],
    max_tokens: MaxTokens = 128,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Seed = None,
    stop: Stop = None,
    stats: Stats = False,
    json: JsonOption = False,
) -> None:
    """Complete a prompt, streaming the text."""
    invocation = invocation_of(context, is_json=json)
    body = {
        "prompt": sys.stdin.read() if prompt == "-" else prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "stop": stop,
    }
    reply = stream_reply(invocation, body)
    if invocation.is_json:
        print_json(reply_fields(reply))
    elif stats:
        invocation.say(describe_timing(reply))
