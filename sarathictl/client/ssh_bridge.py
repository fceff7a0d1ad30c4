"""A daemon on another machine, over ssh: its sockets appear in a private directory here, and nothing listens there."""

import re
import selectors
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from sarathictl.client.endpoint import FAILURE_FILE, SSH_SCHEME, Endpoint
from sarathid.errors import ConfigError
from sarathid.paths import API_SOCKET, CONTROL_SOCKET, STATS_SOCKET

MAX_CONNECTIONS = 32
LOOK_EVERY_S = 0.2
_ADDRESS = re.compile(
    r"ssh://(?P<host>(?:[\w.+-]+@)?(?:\w[\w.-]*|\[[0-9A-Fa-f:]+\]))(?::(?P<port>\d{1,5}))?(?P<path>/.*)?"
)


@dataclass(frozen=True, slots=True)
class RemoteDaemon:
    """Where `ssh` has to go, and the runtime directory there; None is that machine's own default."""

    host: str
    port: int | None
    runtime_dir: str | None

    def command(self, socket_name: str) -> list[str]:
        """Return what joins standard input and output to one of the daemon's sockets."""
        port = [] if self.port is None else ["-p", str(self.port)]
        directory = [] if self.runtime_dir is None else ["-A", shlex.quote(self.runtime_dir)]
        return ["ssh", "-T", *port, "--", self.host, "sarathictl", *directory, "_stdio", socket_name]


def read_ssh_address(addr: str) -> RemoteDaemon:
    """Return what `ssh://[USER@]HOST[:PORT][/DIRECTORY]` says; raises `ConfigError` when it can't be read."""
    match = _ADDRESS.fullmatch(addr)
    if match is None:
        raise ConfigError(f"{addr!r} is no address; write {SSH_SCHEME}[USER@]HOST[:PORT][/DIRECTORY]")
    path = match["path"]
    port = int(match["port"]) if match["port"] else None
    return RemoteDaemon(match["host"].strip("[]"), port, path if path and path != "/" else None)


class SshBridge:
    """Listens on sockets in a directory of its own, and starts one `ssh` for each connection that says something.

    When an `ssh` fails, the sockets are taken away, so that nobody waits for a daemon that can't be reached; what it
    said is in `failure`, and in the directory for who looks there.
    """

    def __init__(self, remote: RemoteDaemon) -> None:
        self._remote = remote
        self._directory = Path(tempfile.mkdtemp(prefix="sctl-"))
        self._children: list[subprocess.Popen[bytes]] = []
        self._is_closing = threading.Event()
        self._selector = selectors.DefaultSelector()
        for name in (API_SOCKET, CONTROL_SOCKET, STATS_SOCKET):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self._directory / name))
            listener.listen()
            self._selector.register(listener, selectors.EVENT_READ, name)
        self.failure = ""
        self._thread = threading.Thread(target=self._run, name="ssh-bridge", daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        """The daemon as it is reached through the bridge."""
        return Endpoint(self._directory)

    def close(self) -> None:
        """End every connection, and take the sockets away."""
        self._is_closing.set()
        self._thread.join()
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.communicate()
        for key in list(self._selector.get_map().values()):
            _socket_of(key).close()
        self._selector.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self) -> None:
        while not self._is_closing.is_set():
            for key, _ in self._selector.select(LOOK_EVERY_S):
                self._serve(key)
            self._look_after_children()

    def _serve(self, key: selectors.SelectorKey) -> None:
        """Take a new connection, or begin one that has something to say: who only probes says nothing."""
        ready = _socket_of(key)
        if ready.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            connection, _ = ready.accept()
            self._selector.register(connection, selectors.EVENT_READ, key.data)
            return
        self._selector.unregister(ready)
        if ready.recv(1, socket.MSG_PEEK) and len(self._children) < MAX_CONNECTIONS:
            command = self._remote.command(key.data)
            try:
                self._children.append(
                    subprocess.Popen(command, stdin=ready.fileno(), stdout=ready.fileno(), stderr=subprocess.PIPE)
                )
            except OSError as error:
                self._fail(f"{command[0]} can't be run: {error.strerror}")
        ready.close()

    def _look_after_children(self) -> None:
        for child in [child for child in self._children if child.poll() is not None]:
            self._children.remove(child)
            _, said = child.communicate()
            if child.returncode > 0 and not self._is_closing.is_set():
                self._fail(said.decode(errors="replace").strip() or f"ssh ended with {child.returncode}")

    def _fail(self, words: str) -> None:
        self.failure = f"{self._remote.host}: {words.removeprefix('sarathictl: ').removeprefix('ssh: ')}"
        (self._directory / FAILURE_FILE).write_text(self.failure, encoding="utf-8")
        for name in (API_SOCKET, CONTROL_SOCKET, STATS_SOCKET):
            (self._directory / name).unlink(missing_ok=True)


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj
