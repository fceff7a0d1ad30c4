"""Errors in the shape that OpenAI's clients expect."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sarathid.errors import PromptTooLong, RequestRefused
from sarathid.server.openai.schema import ErrorDetail, ErrorReply

RETRY_AFTER_S = 1
MAX_MESSAGE_CHARS = 1000  # what a client sent is repeated in some, and may be long

log = logging.getLogger(__name__)


class ModelNotFound(HTTPException):
    """A model by that name is not served here."""


def error_body(message: str, type_: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """Return the JSON of an error, its words cut where they are too many."""
    words, name = message[:MAX_MESSAGE_CHARS], None if param is None else param[:MAX_MESSAGE_CHARS]
    return msgspec.json.encode(ErrorReply(ErrorDetail(message=words, type=type_, param=name, code=code)))


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error with the `type` that belongs to its status."""
    body = error_body(message, _type_of(status), param=param, code=code)
    return Response(body, status, headers, "application/json")


def unavailable(reason: str) -> Response:
    """Return the answer of a daemon that takes no requests now."""
    headers = {"retry-after": str(RETRY_AFTER_S)}
    return error_response(HTTPStatus.SERVICE_UNAVAILABLE, reason, code="unavailable", headers=headers)


def no_room(reason: str, retry_after_s: int) -> Response:
    """Return the answer to a request for which there is no room now."""
    headers = {"retry-after": str(retry_after_s)}
    return error_response(HTTPStatus.TOO_MANY_REQUESTS, reason, code="queue_full", headers=headers)


def on_refused(_request: Request, error: Exception) -> Response:
    """Answer a request that can't be served as asked."""
    assert isinstance(error, RequestRefused)
    code = "context_length_exceeded" if isinstance(error, PromptTooLong) else None
    return error_response(HTTPStatus.BAD_REQUEST, str(error), param=error.param, code=code)


def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what Starlette refuses, an unknown path or a wrong method, and a body that is too long or too slow."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    words = {
        HTTPStatus.NOT_FOUND: f"there is no {path} here; /openapi.json says what there is",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{path} takes no {request.method}; /openapi.json says what it takes",
    }
    said = words.get(HTTPStatus(error.status_code), error.detail)
    return error_response(error.status_code, said, headers=error.headers)


def on_no_model(_request: Request, error: Exception) -> Response:
    """Answer a request for a model that is not the one here."""
    assert isinstance(error, ModelNotFound)
    return error_response(error.status_code, error.detail, param="model", code="model_not_found")


def on_disconnect(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the client left before its request was complete."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer a failure of our own, and log it under the request's id."""
    request_id = request.state.request_id
    log.error("%s %s failed (%s)", request.method, request.url.path, request_id, exc_info=error)
    words = f"internal error; the daemon's log says more under {request_id}"
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, words)


EXCEPTION_HANDLERS = {
    RequestRefused: on_refused,
    ModelNotFound: on_no_model,
    HTTPException: on_http_error,
    ClientDisconnect: on_disconnect,
    Exception: on_unexpected,
}

_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}


def _type_of(status: int) -> str:
    known = _TYPES.get(HTTPStatus(status))
    if known is not None:
        return known
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
