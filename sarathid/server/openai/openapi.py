"""The API's description, made from the structs that check its bodies."""

from typing import Any

import msgspec

from sarathid.server.openai.schema import (
    ChatChunk,
    ChatMessage,
    ChatReply,
    ChatRequest,
    CompletionReply,
    CompletionRequest,
    DetokenizeReply,
    DetokenizeRequest,
    ErrorReply,
    TokenizeReply,
    TokenizeRequest,
)
from sarathid.version import __version__

_STRUCTS = (
    CompletionRequest,
    CompletionReply,
    ChatRequest,
    ChatReply,
    ChatChunk,
    TokenizeRequest,
    TokenizeReply,
    DetokenizeRequest,
    DetokenizeReply,
    ErrorReply,
)
_NULL_IS_ABSENT = (CompletionRequest, ChatRequest, ChatMessage, TokenizeRequest, DetokenizeRequest)
_REFERENCE = "#/components/schemas/{name}"


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=_REFERENCE)
    for struct in _NULL_IS_ABSENT:
        _let_null_be_absent(schemas[struct.__name__])
    return {
        "openapi": "3.1.0",
        "info": {"title": "sarathid", "version": __version__},
        "paths": {
            "/v1/completions": _post("Continue a text", "CompletionRequest", "CompletionReply", "CompletionReply"),
            "/v1/chat/completions": _post("Answer in a conversation", "ChatRequest", "ChatReply", "ChatChunk"),
            "/tokenize": _post("Tell the tokens of a text or a conversation", "TokenizeRequest", "TokenizeReply"),
            "/detokenize": _post("Tell the text of tokens", "DetokenizeRequest", "DetokenizeReply"),
            "/v1/models": _get("List the model that is served"),
            "/v1/models/{model}": _get("Describe the model that is served", "model"),
            "/health": _get("Say that the daemon lives, and its state"),
            "/ready": _get("Say whether a request would be taken now"),
            "/metrics": _get("Expose the figures for Prometheus"),
        },
        "components": {"schemas": schemas},
    }


def _let_null_be_absent(schema: dict[str, Any]) -> None:
    for name in schema["properties"].keys() - set(schema["required"]):
        described = schema["properties"][name]
        schema["properties"][name] = {"anyOf": [described, {"type": "null"}]}
    if schema.get("additionalProperties") is False:
        schema["additionalProperties"] = {"type": "null"}


def _post(summary: str, request: str, reply: str, event: str | None = None) -> dict[str, Any]:
    content = {"application/json": _schema(reply)}
    if event is not None:
        content["text/event-stream"] = {"schema": _event(event)}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": _schema(request)}},
            "responses": {
                "200": {
                    "description": "the reply" if event is None else "the reply, or its events with `stream`",
                    "content": content,
                },
                "429": _refusal("there is no room now", "Retry-After"),
                **_REFUSALS,
            },
        }
    }


def _event(name: str) -> dict[str, Any]:
    """Return what each event of a stream is, in the manner of OpenAPI 3.2; the last one's data are `[DONE]`."""
    told = {"type": "string", "contentMediaType": "application/json", "contentSchema": _schema(name)["schema"]}
    return {"type": "object", "properties": {"data": {"anyOf": [{"const": "[DONE]"}, told]}}, "required": ["data"]}


def _get(summary: str, *parameters: str) -> dict[str, Any]:
    named = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters]
    return {
        "get": {
            "summary": summary,
            "parameters": named,
            "responses": {"200": {"description": "the answer"}, **_REFUSALS},
        }
    }


def _refusal(description: str, *headers: str) -> dict[str, Any]:
    seconds = {"description": "seconds to wait", "required": True, "schema": {"type": "integer", "minimum": 1}}
    return {
        "description": description,
        "headers": dict.fromkeys(headers, seconds),
        "content": {"application/json": _schema("ErrorReply")},
    }


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": _REFERENCE.format(name=name)}}


_REFUSALS = {"4XX": _refusal("refused"), "503": _refusal("no requests are taken now", "Retry-After")}
