"""`generate` and `chat` against a small HTTP server on a Unix socket."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sarathictl.cli import main
from sarathid.paths import API_SOCKET

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
REFUSAL = b'{"error": {"message": "the prompt is too long", "param": "prompt"}}'


def event(**fields: Any) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


def completion(*pieces: str) -> bytes:
    events = [event(choices=[{"text": piece, "finish_reason": None}]) for piece in pieces]
    end = event(choices=[{"text": "", "finish_reason": "length"}], usage={"completion_tokens": len(pieces)})
    return HEAD + b"".join(events) + end + b"data: [DONE]\n\n"


def chat_reply(text: str) -> bytes:
    return HEAD + event(choices=[{"delta": {"content": text}, "finish_reason": "stop"}]) + b"data: [DONE]\n\n"


class StubAPI:
    """Answers one connection after the other with the responses it was given, and keeps the bodies."""

    def __init__(self, socket_path: Path, *responses: bytes) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._responses = responses
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(socket_path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        for response in self._responses:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.bodies.append(_read_body(connection))
                connection.sendall(response)


def _read_body(connection: socket.socket) -> dict[str, Any]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += connection.recv(65536)
    parsed: dict[str, Any] = json.loads(body)
    return parsed


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    servers: list[StubAPI] = []

    def start(*responses: bytes) -> StubAPI:
        servers.append(StubAPI(tmp_path / API_SOCKET, *responses))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def sarathictl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(*arguments: str, stdin: str = "") -> int:
        monkeypatch.setattr(sys, "argv", ["sarathictl", "-A", str(tmp_path), *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return call


def test_generate_streams_the_text(serve: Any, sarathictl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(completion("Once", " upon", " a time"))
    assert sarathictl("generate", "Tell", "--seed", "7", "--temperature", "0.5", "--stop", "\n\n") == 0
    assert capsys.readouterr().out == "Once upon a time\n"
    assert server.bodies[0]["prompt"] == "Tell"
    assert (server.bodies[0]["seed"], server.bodies[0]["temperature"]) == (7, 0.5)
    assert server.bodies[0]["stop"] == ["\n\n"]
    assert "top_k" not in server.bodies[0]


def test_a_prompt_can_come_from_stdin(serve: Any, sarathictl: Any) -> None:
    server = serve(completion("x"))
    sarathictl("generate", "-", stdin="a long prompt")
    assert server.bodies[0]["prompt"] == "a long prompt"


def test_a_prompt_can_come_from_a_file_with_a_priority(serve: Any, sarathictl: Any, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("a long prompt\n")
    server = serve(completion("x"))
    assert sarathictl("submit", "-f", str(tmp_path / "prompt.txt"), "--priority", "-5") == 0
    assert server.bodies[0] | {"prompt": "a long prompt\n", "priority": -5} == server.bodies[0]


@pytest.mark.parametrize("words", [(), ("x", "-f", "prompt.txt"), ("-f", "nowhere.txt")])
def test_a_prompt_comes_from_one_place_that_there_is(sarathictl: Any, words: tuple[str, ...]) -> None:
    assert sarathictl("generate", *words) == 2


def test_stats_are_words_beside_the_text(serve: Any, sarathictl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    serve(completion("a", "b", "c"))
    sarathictl("generate", "x", "--stats")
    printed = capsys.readouterr()
    assert printed.out == "abc\n"
    assert printed.err.startswith("3 tokens, ended by length; first after ")


def test_generate_as_json_is_one_object(serve: Any, sarathictl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    serve(completion("a", "b"))
    sarathictl("generate", "x", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["text"], answer["finish_reason"], answer["num_output_tokens"]) == ("ab", "length", 2)
    assert answer["gap_max_s"] >= 0.0


def test_a_refused_prompt_exits_7(serve: Any, sarathictl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    serve(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(REFUSAL) + REFUSAL)
    assert sarathictl("generate", "x") == 7
    assert "the prompt is too long" in capsys.readouterr().err


def test_chat_keeps_what_was_said(serve: Any, sarathictl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(chat_reply("Hello."), chat_reply("Fine."))
    assert sarathictl("chat", "--system", "Be brief.", stdin="Hi\nHow are you?\n") == 0
    assert capsys.readouterr().out == "Hello.\nFine.\n"
    assert [message["role"] for message in server.bodies[1]["messages"]] == ["system", "user", "assistant", "user"]


def test_chat_with_a_message_says_it_once(serve: Any, sarathictl: Any) -> None:
    server = serve(chat_reply("Hello."))
    assert sarathictl("chat", "Hi") == 0
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "Hi"}]


def test_an_interrupt_ends_a_stream_with_130(tmp_path: Path, serve: Any) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / API_SOCKET))
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-c", "from sarathictl.cli import main; main()", "-A", str(tmp_path), "generate", "x"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        connection, _ = listener.accept()
        with connection:
            _read_body(connection)
            process.send_signal(signal.SIGINT)
            _, words = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in words


def test_a_closed_pipe_is_silent(tmp_path: Path, serve: Any) -> None:
    serve(completion(*["word "] * 10))
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", "from sarathictl.cli import main; main()", "-A", str(tmp_path), "generate", "x"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=20,
    )
    os.close(write_end)
    assert done.stderr == b""
