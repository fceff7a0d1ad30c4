"""Chats with a daemon through litellm, and prints as JSON what that gave; the question comes on standard input."""

import asyncio
import json
import sys
from typing import Any

import litellm

litellm.suppress_debug_info = True


def failure(asked: dict[str, Any]) -> str:
    """Return what litellm raises."""
    try:
        litellm.completion(**asked)
    except Exception as error:  # noqa: BLE001 (they have no ancestor of their own in common)
        return type(error).__name__
    return "nothing"


def main() -> None:
    given = json.load(sys.stdin)
    asked = {
        "model": f"openai/{given['model']}",
        "api_base": f"{given['url']}/v1",
        "api_key": given["key"],
        **given["body"],
    }
    whole = litellm.completion(**asked)
    answer = whole.choices[0].message
    events = litellm.completion(**asked, stream=True, stream_options={"include_usage": True})
    history = [*asked["messages"], answer, *asked["messages"]]
    found = {
        "whole": answer.content,
        "num_output_tokens": whole.usage.completion_tokens,
        "streamed": "".join(event.choices[0].delta.content or "" for event in events if event.choices),
        "by coroutine": asyncio.run(litellm.acompletion(**asked)).choices[0].message.content,
        "second": litellm.completion(**asked | {"messages": history}).choices[0].finish_reason,
        "too long": failure(asked | {"messages": [{"role": "user", "content": "word " * 10_000}]}),
        "no such model": failure(asked | {"model": "openai/other"}),
        "no such key": failure(asked | {"api_key": "wrong"}),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
