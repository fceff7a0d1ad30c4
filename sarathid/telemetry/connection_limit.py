"""Bounds how many peers a ZeroMQ socket has: ZeroMQ aborts a process that has no descriptor left for one more."""

import contextlib
import resource
import socket
import threading
import uuid
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

SHARE_OF_DESCRIPTORS = 1 / 16
LISTEN_BACKLOG = 16  # fewer are taken before the watch hears of them; thousands in one burst can still outrun it


def limit_connections(watched: "zmq.Socket[Any]", path: str) -> None:
    """Turn away who connects to `watched`, which listens at `path`, while as many are there as may be.

    ZeroMQ has no such limit, and accepts in a thread of its own. So another thread hears of each connection from it, as
    fast as there are any, and shuts those down that are too many; it ends with the socket.
    """
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endpoint = f"inproc://{uuid.uuid4()}"
    watched.monitor(endpoint, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED)
    events = zmq.Context(watched.context).socket(zmq.PAIR)
    events.linger = 0
    events.connect(endpoint)
    most = max(1, int(SHARE_OF_DESCRIPTORS * soft))
    threading.Thread(target=_keep_watch, args=(events, path, most), name="connections", daemon=True).start()


def _keep_watch(events: "zmq.Socket[bytes]", path: str, most: int) -> None:
    standing: set[int] = set()
    with events, contextlib.suppress(zmq.ContextTerminated):
        while (event := parse_monitor_message(events.recv_multipart()))["event"] != zmq.EVENT_MONITOR_STOPPED:
            descriptor = event["value"]
            if event["event"] == zmq.EVENT_DISCONNECTED:
                standing.discard(descriptor)
                continue
            standing.add(descriptor)
            if len(standing) > most:
                _turn_away(descriptor, path)


def _turn_away(descriptor: int, path: str) -> None:
    """Shut a connection down, which ZeroMQ then closes; one that has gone, whose number another has now, is spared."""
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):  # its peer was faster, and ZeroMQ may have closed it by now
            if connection.family == socket.AF_UNIX and connection.getsockname() == path:
                connection.shutdown(socket.SHUT_RDWR)
    finally:
        connection.detach()
