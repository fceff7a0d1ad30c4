"""Two nodes on one machine: network namespaces with nothing but a cable between them. Only root can make them."""

import contextlib
import fcntl
import os
import queue
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 29500
CAN_MAKE_NODES = os.getuid() == 0 and shutil.which("ip") is not None and shutil.which("tc") is not None
GIGABIT = ("tbf", "rate", "1gbit", "burst", "256kb", "latency", "50ms")
_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
_JUMBO = 9000


@dataclass(frozen=True, slots=True)
class Node:
    """A network namespace with an address on the cable."""

    namespace: str
    address: str

    def command(self, *words: str) -> tuple[str, ...]:
        """Return what runs `words` on this node."""
        return ("ip", "netns", "exec", self.namespace, *words)

    @property
    def endpoint(self) -> str:
        return f"{self.address}:{PORT}"


@contextmanager
def two_nodes(delay_s: float | None = None) -> Iterator[tuple[Node, Node]]:
    """Give two nodes on a cable of 1 Gbit a second: a veth pair, or one with a relay that delays every packet."""
    nodes = tuple(Node(f"sarathid-{os.getpid()}-{side}", f"10.77.0.{side}") for side in (1, 2))
    with ExitStack() as stack:
        for node in nodes:
            _run("ip", "netns", "add", node.namespace)
            stack.callback(_run, "ip", "netns", "del", node.namespace)
        tunnels = []
        if delay_s is None:
            _join_by_veth(nodes)
        else:
            tunnels = [_open_tunnel(side, node) for side, node in enumerate(nodes)]
        for side, node in enumerate(nodes):
            for device in ("lo", _device(side)):
                _run(*node.command("ip", "link", "set", device, "up"))
            _run(*node.command("ip", "addr", "add", f"{node.address}/24", "dev", _device(side)))
            _run(*node.command("tc", "qdisc", "add", "dev", _device(side), "root", *GIGABIT))
        for source, target in zip(tunnels, reversed(tunnels), strict=True):
            _carry(source, target, delay_s or 0.0)
        yield nodes[0], nodes[1]


@contextmanager
def joined(node: Node, endpoint: str, log_path: Path, *variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a `sarathid join` that runs on a node, with `variables` set; afterwards it and its ranks are gone."""
    program = os.fspath(Path(sys.executable).with_name("sarathid"))
    command = node.command("env", *variables, program, "join", endpoint)
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def set_cable(node: Node, state: str) -> None:
    """Put a node's end of the cable `down` or `up`."""
    side = int(node.address[-1]) - 1
    _run(*node.command("ip", "link", "set", _device(side), state))


def _device(side: int) -> str:
    return f"cable{side}"


def _join_by_veth(nodes: tuple[Node, ...]) -> None:
    ends = [word for side, node in enumerate(nodes) for word in ("name", _device(side), "netns", node.namespace)]
    _run("ip", "link", "add", *ends[:4], "type", "veth", "peer", *ends[4:])


def _open_tunnel(side: int, node: Node) -> int:
    """Make a tunnel device on a node; what it sends can be read here, and what is written here it receives."""
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tunnel, _TUNSETIFF, struct.pack("16sH", _device(side).encode(), _TUN_WITHOUT_HEADER))
    _run("ip", "link", "set", _device(side), "mtu", str(_JUMBO), "netns", node.namespace)
    return tunnel


def _carry(source: int, target: int, delay_s: float) -> None:
    """Write what is read from `source` to `target`, each packet `delay_s` after it came, until the nodes are gone."""
    packets: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def take() -> None:
        with contextlib.suppress(OSError), os.fdopen(source, "rb", buffering=0) as tunnel:
            while True:
                packet = tunnel.read(2 * _JUMBO)
                packets.put((time.monotonic() + delay_s, packet))

    def give() -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, packet = packets.get()
                time.sleep(max(0.0, due_s - time.monotonic()))
                os.write(target, packet)

    for work in (take, give):
        threading.Thread(target=work, daemon=True).start()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
