"""One HTTP/1.1 response of the daemon, read from bytes: no socket, no clock."""

import json
from typing import Any, TypeAlias

import httptools

from sarathid.errors import NotPermitted, NotReachable, QueueFull, RequestRefused, SarathiError

JSONObject: TypeAlias = dict[str, Any]

_DATA = b"data:"
_DONE = b"[DONE]"


class ResponseBody:
    """Takes the bytes of one response as they arrive and gives its body, piece by piece."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self.is_complete = False

    @property
    def is_success(self) -> bool:
        """Whether the daemon accepted the request; false until the status line is read."""
        return 200 <= self._parser.get_status_code() < 300

    def feed(self, data: bytes) -> bytes:
        """Return the part of the body that `data` holds; `data` is empty where the connection ended.

        Raises `NotReachable` when the connection ended before the response, or what came is not HTTP.
        """
        if not data:
            raise NotReachable("the daemon closed the connection before its answer was complete")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise NotReachable(f"what answers at this socket does not speak HTTP: {error}") from error
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body

    def refusal(self, body: bytes) -> SarathiError:
        """Return the error that a complete, unsuccessful response with this body stands for."""
        status = self._parser.get_status_code()
        message, param = _error_of(body, status)
        if status in (429, 503):
            return QueueFull(message, param)
        if status in (401, 403):
            return NotPermitted(message)
        return RequestRefused(message, param) if status < 500 else SarathiError(message)

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self.is_complete = True


class JSONResponse:
    """A response whose body is one JSON object."""

    def __init__(self) -> None:
        self._response = ResponseBody()
        self._body = b""

    def feed(self, data: bytes) -> JSONObject | None:
        """Return the object once it is complete, None before; raises what the daemon refused with."""
        self._body += self._response.feed(data)
        if not self._response.is_complete:
            return None
        if not self._response.is_success:
            raise self._response.refusal(self._body)
        return _object(self._body)


class EventStream:
    """A response of server-sent events as OpenAI's API has them: one JSON object a `data:` line, then `[DONE]`."""

    def __init__(self) -> None:
        self._response = ResponseBody()
        self._unread = b""
        self.is_complete = False

    def feed(self, data: bytes) -> list[JSONObject]:
        """Return the events that `data` completes.

        Raises `RequestRefused` or another `SarathiError` with the daemon's message when it refused
        the request or failed on the way, `NotReachable` when the connection ended before `[DONE]`.
        """
        self._unread += self._response.feed(data)
        if not self._response.is_success:
            return self._refused()
        *lines, self._unread = self._unread.split(b"\n")
        payloads = [line[len(_DATA) :].strip() for line in lines if line.startswith(_DATA)]
        self.is_complete = _DONE in payloads
        return [_event(payload) for payload in payloads if payload != _DONE]

    def _refused(self) -> list[JSONObject]:
        if self._response.is_complete:
            raise self._response.refusal(self._unread)
        return []


def _event(payload: bytes) -> JSONObject:
    event = _object(payload)
    if "error" in event:
        message, _ = _error_of(payload, 500)
        raise SarathiError(message)
    return event


def _object(payload: bytes) -> JSONObject:
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise SarathiError(f"the daemon's answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise SarathiError("the daemon's answer is not a JSON object")
    return value


def _error_of(body: bytes, status: int) -> tuple[str, str | None]:
    """Return message and offending field of `{"error": {"message": .., "param": ..}}`."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the daemon answered with HTTP status {status}", None
