"""Where the browsers of this machine, and no others, find the console."""

from sarathid.errors import ConfigError

HOST = "127.0.0.1"
_MAX_PORT = 65_535


def read_port(text: str) -> int:
    """Return the port that `8022`, `127.0.0.1:8022` or `localhost:8022` names; raises `ConfigError` for all else."""
    host, _, port = text.rpartition(":")
    if host not in ("", HOST, "localhost") or not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise ConfigError(
            f"{text!r} is no address for browsers of this machine; write 8022 or {HOST}:8022, "
            "and forward it with `ssh -L` to another"
        )
    return int(port)
