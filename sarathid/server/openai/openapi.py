"""The API's description, made from the structs that check its bodies."""

from typing import Any

import msgspec

from sarathid.server.openai.schema import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    CompletionReply,
    CompletionRequest,
    ErrorReply,
)
from sarathid.version import __version__

_STRUCTS = (CompletionRequest, CompletionReply, ChatRequest, ChatReply, ChatChunk, ErrorReply)
_REFERENCE = "#/components/schemas/{name}"


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=_REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sarathid", "version": __version__},
        "paths": {
            "/v1/completions": _post("Continue a text", "CompletionRequest", "CompletionReply", "CompletionReply"),
            "/v1/chat/completions": _post("Answer in a conversation", "ChatRequest", "ChatReply", "ChatChunk"),
            "/v1/models": _get("List the model that is served"),
            "/health": _get("Say that the daemon lives, and its state"),
            "/ready": _get("Say whether a request would be taken now"),
            "/metrics": _get("Expose the figures for Prometheus"),
        },
        "components": {"schemas": schemas},
    }


def _post(summary: str, request: str, reply: str, event: str) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": _schema(request)}},
            "responses": {
                "200": {
                    "description": "the reply, or its events with `stream`",
                    "content": {"application/json": _schema(reply), "text/event-stream": _schema(event)},
                },
                "4XX": {"description": "refused", "content": {"application/json": _schema("ErrorReply")}},
            },
        }
    }


def _get(summary: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": {"description": "the answer"}}}}


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": _REFERENCE.format(name=name)}}
