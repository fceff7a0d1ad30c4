"""The keys that open the API where the kernel does not say who is there: on the loopback interface."""

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from sarathid.errors import ConfigError

MAX_FILE_BYTES = 1 << 16
_LINE = re.compile(r"([\w.-]{1,32})\s+([\x21-\x7e]{32,256})", re.ASCII)
_SCHEME = "bearer "


class APIKeys:
    """Keys by the names of their holders."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = {name: _digest(key) for name, key in keys.items()}

    def holder(self, authorization: str) -> str | None:
        """Return whose key a request's `Authorization` header bears, None for nobody's.

        How long that takes tells nothing of the keys: digests are compared, in constant time, each of them.
        """
        given = _digest(authorization[len(_SCHEME) :])
        holders = [name for name, digest in self._digests.items() if hmac.compare_digest(digest, given)]
        return holders[0] if holders and authorization[: len(_SCHEME)].lower() == _SCHEME else None


def read_keys(path: Path) -> APIKeys:
    """Return the keys in a file of lines `NAME KEY`, which must be ours alone.

    Raises `ConfigError` for any other file; what it holds is not repeated.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise ConfigError(f"{path} must be a file of yours that nobody else may read; chmod it 600")
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    keys = [_LINE.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    if len(text) > MAX_FILE_BYTES or not keys or not all(keys):
        raise ConfigError(f"{path} must hold a name, a blank and a key of 32 or more printable characters in each line")
    return APIKeys({found[1]: found[2] for found in keys if found is not None})


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
