"""Who is at the other end of a Unix socket, as the kernel tells it."""

import os
import pwd
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that connected: its id, its user's and group's, and its command's name (which it can choose itself)."""

    pid: int
    uid: int
    gid: int
    command: str

    @classmethod
    def of_socket(cls, connection: socket.socket) -> Self:
        """Return the peer of a connected Unix socket, from SO_PEERCRED."""
        pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return cls(pid, uid, gid, _command_of(pid))

    @classmethod
    def of_address(cls, address: str) -> Self | None:
        """Return the peer that ZeroMQ's `Peer-Address` (`host:uid:gid:pid`) names, None if it is not one."""
        _host, *numbers = address.split(":")
        if len(numbers) != 3 or not all(map(str.isdecimal, numbers)):
            return None
        uid, gid, pid = map(int, numbers)
        return cls(pid, uid, gid, _command_of(pid))

    @property
    def label(self) -> str:
        """`uid/pid/command`, printable."""
        return f"{self.uid}/{self.pid}/{self.command}"

    def group_ids(self) -> frozenset[int]:
        """Return the groups of the process's user: its own when it connected, and those that the system lists.

        ZeroMQ's filters go by the same two.
        """
        try:
            name = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return frozenset({self.gid})
        return frozenset(os.getgrouplist(name, self.gid))


def printable(text: str, max_len: int) -> str:
    """Return at most `max_len` characters of a text that strangers wrote, without control characters."""
    return "".join(character for character in text[:max_len] if character.isprintable())


def _command_of(pid: int) -> str:
    try:
        return printable(Path(f"/proc/{pid}/comm").read_text(errors="replace").strip(), 16)
    except OSError:
        return "?"
