"""Malformed frames for the daemon's sockets: noise, valid ones with damage, and hostile values in the right places."""

import json
import random
from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import msgpack

from sarathid.protocol.codec import MAX_CONTROL_BYTES, PROTOCOL_VERSION
from sarathid.protocol.control import ControlOp, ControlRequest, Drain, Pause, Plan

JSONSchema: TypeAlias = Mapping[str, Any]

MAX_NOISE = 2048
_ZMTP_GREETING = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + b"\x00" * 48
_ENDPOINTS = {"/v1/completions": "CompletionRequest", "/v1/chat/completions": "ChatRequest"}
_BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "x", "max_tokens": 1},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
}
_PLAIN_PATHS = ("/health", "/ready", "/metrics", "/v1/models", "/v1/models/x", "/openapi.json", "/", "/../x", "*")
_UNKNOWN_FIELDS = ("n", "logprobs", "tools", "response_format", "__class__", "chat_template", "regex", "")
_REPLAYS_OR_ENDS = (Drain, Pause, Plan)  # taken as they are, they would start a simulation or end the test


class FrameMaker:
    """Draws frames; `document` is the daemon's OpenAPI description."""

    def __init__(self, rng: random.Random, document: Mapping[str, Any]) -> None:
        self._rng = rng
        schemas = document["components"]["schemas"]
        self._fields = {path: (*schemas[name]["properties"], *_UNKNOWN_FIELDS) for path, name in _ENDPOINTS.items()}
        ops: list[type[ControlRequest]] = [op for op in get_args(ControlOp) if op not in _REPLAYS_OR_ENDS]
        self._ops = {op.__struct_config__.tag: op.__struct_fields__ for op in ops}

    def noise(self) -> bytes:
        """Return bytes that mean nothing, some of them behind the beginning of a protocol."""
        beginning = self._rng.choice(
            (b"", b"", _ZMTP_GREETING, _ZMTP_GREETING[:12], b"POST /v1/completions HTTP/1.1\r\n")
        )
        return beginning + self._rng.randbytes(self._rng.randrange(MAX_NOISE))

    def damaged_http(self) -> bytes:
        """Return a request with damage anywhere."""
        return self._damage(self.http())

    def http(self) -> bytes:
        """Return a well-formed request with a path, a header or a body that may be hostile."""
        rng = self._rng
        if rng.random() < 0.2:
            return _request(rng.choice(("GET", "POST", "PUT", "OPTIONS")), rng.choice(_PLAIN_PATHS), self._text(), b"")
        path = rng.choice(list(_BODIES))
        body = dict(_BODIES[path])
        for name in rng.choices(self._fields[path], k=rng.randint(1, 3)):
            body[name] = self._value()
        return _request("POST", path, self._text(), json.dumps(body).encode())

    def control(self) -> list[bytes]:
        """Return the frames of a message to the control socket, mostly one."""
        rng = self._rng
        name = rng.choice(list(self._ops))
        fields = {field: self._value() for field in rng.choices(self._ops[name], k=rng.randint(0, 3))}
        message = {"v": PROTOCOL_VERSION, "op": name} | fields
        if rng.random() < 0.1:
            message[rng.choice(("v", "op", "id", "x"))] = self._value()
        body: bytes = msgpack.packb(message, default=repr)
        if len(body) > MAX_CONTROL_BYTES // 2:  # longer ones end the connection, and every answer on it
            return [body[:MAX_NOISE]]
        match rng.randrange(8):
            case 0:
                return [self._damage(body)]
            case 1:
                return [rng.randbytes(rng.randrange(64))]
            case 2:
                return [body] * rng.randint(2, 4)
        return [body]

    def _damage(self, frame: bytes) -> bytes:
        rng, damaged = self._rng, bytearray(frame)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(damaged) + 1)
            match rng.randrange(4):
                case 0 if place < len(damaged):
                    damaged[place] ^= 1 << rng.randrange(8)
                case 1:
                    del damaged[place : place + rng.randrange(16)]
                case 2:
                    damaged[place:place] = rng.randbytes(rng.randrange(16))
                case _:
                    damaged[place:place] = damaged[place : place + rng.randrange(64)]
        return bytes(damaged)

    def _value(self, depth: int = 0) -> Any:
        rng = self._rng
        values = (
            None,
            rng.random() < 0.5,
            rng.choice((0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), rng.randrange(1 << 16))),
            rng.choice((0.0, -0.5, 1e308, float("inf"), float("nan"), rng.random())),
            self._text(),
            [] if depth > 2 else [self._value(depth + 1) for _ in range(rng.randrange(4))],
            {} if depth > 2 else {self._text()[:8]: self._value(depth + 1) for _ in range(rng.randrange(4))},
            self._nested(rng.randrange(2000)) if rng.random() < 0.02 else 1,
        )
        return rng.choice(values)

    def _nested(self, depth: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(min(depth, 400)):  # msgpack's own limit is 511
            value = [value]
        return value

    def _text(self) -> str:
        rng = self._rng
        character = rng.choice(("a", "\x00", "\n", "é", "💥", "\u202e", "{{", "../"))
        return character * rng.choice((0, 1, 2, 17, 300)) if rng.random() < 0.9 else character * 20_000


def _request(method: str, path: str, header: str, body: bytes) -> bytes:
    value = "".join(character for character in header if character.isascii() and character.isprintable())[:4096]
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: {value}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
