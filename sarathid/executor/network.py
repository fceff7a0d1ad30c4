"""Addresses of the network between nodes, which is trusted: what is said there is neither hidden nor signed."""

import fcntl
import re
import socket
import struct

from sarathid.errors import ConfigError

_SIOCGIFADDR = 0x8915  # of netdevice(7)
_ADDRESS = slice(20, 24)  # in the struct ifreq that it fills
_MAX_INTERFACE_NAME = 15
_SIGNS_OF_LIFE = {  # of tcp(7); left alone, a peer whose cable was cut is missed after two hours
    socket.TCP_KEEPIDLE: 2,  # seconds of silence
    socket.TCP_KEEPINTVL: 1,  # seconds between questions
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 5000,  # milliseconds in which what was sent is to arrive
}


def read_endpoint(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; raises `ConfigError` when it is none, or every interface is meant."""
    match = re.fullmatch(r"([^:\s]+):(\d{1,5})", text)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise ConfigError(f"{text!r} is no endpoint; write HOST:PORT, 10.0.0.1:29500 say")
    try:
        host = socket.gethostbyname(match[1])
    except OSError as error:
        raise ConfigError(f"{match[1]!r} has no address: {error.strerror}") from error
    except UnicodeError as error:
        raise ConfigError(f"{match[1]!r} can't be the name of a host: {error}") from error
    if host == "0.0.0.0":
        raise ConfigError("ranks listen on one interface only; name its address, not 0.0.0.0")
    return host, int(match[2])


def interface_of(host: str) -> str:
    """Return the name of the interface that has the IPv4 address `host`; raises `ConfigError` when none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:_MAX_INTERFACE_NAME])
            try:
                found = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
            except OSError:  # it has no IPv4 address
                continue
            if socket.inet_ntoa(found[_ADDRESS]) == host:
                return name
    raise ConfigError(f"no interface of this machine has the address {host}; name one that `ip address` lists")


def listen(host: str, port: int = 0) -> socket.socket:
    """Return a socket that listens at that address alone; port 0 is any that is free. Raises `ConfigError`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"nobody can listen at {host}:{port} here: {error.strerror}; name an address of this node and a free port"
        ) from error
    listening.listen()
    return listening


def watch(connection: socket.socket) -> None:
    """Have a connection send what it is given at once, and fail when its peer's machine is out of reach for 5 s.

    A peer that only is slow, or stopped, has a kernel that answers.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _SIGNS_OF_LIFE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
