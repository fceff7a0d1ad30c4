"""Chats with a daemon through LangChain, and prints as JSON what that gave; the question comes on standard input."""

import json
import sys

from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Answer(BaseModel):
    """What is asked for in its structure."""

    is_colour: bool


def main() -> None:
    given = json.load(sys.stdin)
    asked = dict(given["body"])
    messages = asked.pop("messages")
    chat = ChatOpenAI(model=given["model"], base_url=f"{given['url']}/v1", api_key=given["key"], **asked)
    answer = chat.invoke(messages)
    longer = chat.model_copy(update={"max_tokens": 32})
    structured = longer.with_structured_output(Answer, method="json_schema").invoke(messages)
    found = {
        "whole": answer.content,
        "num_output_tokens": answer.usage_metadata["output_tokens"],
        "streamed": "".join(piece.content for piece in chat.stream(messages)),
        "second": chat.invoke([*messages, answer, *messages]).response_metadata["finish_reason"],
        "structured": type(structured.is_colour).__name__,
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
