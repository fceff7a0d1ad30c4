"""Where the daemon keeps its sockets, state and cache: XDG directories, ours alone, mode 0700."""

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

from sarathid.errors import ConfigError

MAX_SOCKET_PATH_BYTES = 107

API_SOCKET = "api.sock"
CONTROL_SOCKET = "control.sock"
STATS_SOCKET = "stats.sock"
LOCK_FILE = "sarathid.lock"
FLIGHT_DIR = "flight"  # in a daemon's state directory


def runtime_dir(flag: Path | None = None) -> Path:
    """Return the runtime directory: the flag, `$SARATHID_RUNTIME_DIR`, the XDG one, or one in /tmp."""
    if flag is not None:
        return flag
    if named := os.environ.get("SARATHID_RUNTIME_DIR"):
        return Path(named)
    if xdg := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(xdg) / "sarathid"
    return Path(f"/tmp/sarathid-{os.getuid()}")


def state_dir() -> Path:
    """Return where audit logs, recordings and settings in force are kept."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def daemon_state_dir(runtime_dir: Path) -> Path:
    """Return where the daemon with this runtime directory, and its successors, keep theirs."""
    path = runtime_dir.absolute()
    return state_dir() / f"{path.name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


def cache_dir() -> Path:
    """Return where fetched models and compiled kernels are kept."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def profile_dir() -> Path:
    """Return where cost profiles that `sarathid profile` measured are kept."""
    return _xdg("XDG_DATA_HOME", ".local/share") / "profiles"


def daemon_config_path() -> Path:
    """Return where the daemon's configuration is looked for when none is named."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "sarathid.toml"


def _xdg(variable: str, fallback: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "sarathid"


def make_private(directory: Path) -> Path:
    """Create `directory` with mode 0700 if it is missing, and return it.

    Raises `ConfigError` when it can't be made, is a symbolic link, not a directory, or another
    user's; a mode that lets others in is tightened.
    """
    try:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700, parents=True)
        found = check_ours(directory)
    except OSError as error:
        raise ConfigError(f"{directory} can't be made ({error.strerror}); name another one") from error
    if found.st_mode & 0o077:
        directory.chmod(0o700)
    return directory


def check_ours(directory: Path) -> os.stat_result:
    """Return what the kernel knows of a directory of ours; raises `ConfigError` for a link or anything else."""
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise ConfigError(f"{directory} is a symbolic link; name another one, the directory it leads to say")
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{directory} is not a directory; name another one")
    if found.st_uid != os.getuid():
        raise ConfigError(f"{directory} belongs to uid {found.st_uid}, not to you; name another one")
    return found


def replace_file(path: Path, content: bytes) -> None:
    """Have a file in a daemon's state directory hold `content`, at once and as a whole, for us alone.

    Raises `OSError` or `ConfigError` when it can't.
    """
    make_private(path.parent.parent)
    make_private(path.parent)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if os.write(file, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)
    new.replace(path)


def check_not_shared(directory: Path) -> None:
    """Raise `ConfigError` when others may enter `directory` and something is in it: it must not be closed to them.

    A group that may pass through, and do no more, is no objection: it is the one of an earlier daemon's sockets.
    """
    try:
        is_shared = directory.is_dir() and directory.stat().st_mode & 0o067 and any(directory.iterdir())
    except PermissionError:  # another user's, and that is what is wrong with it
        return
    if is_shared:
        raise ConfigError(f"{directory} lets others in and is not empty; chmod it 700 or name another one")


def check_socket_path(path: Path) -> Path:
    """Return `path`, or raise `ConfigError` when a Unix socket cannot have so long a name."""
    num_bytes = len(os.fsencode(path))
    if num_bytes > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"the socket path {path} has {num_bytes} bytes and Unix allows {MAX_SOCKET_PATH_BYTES}; "
            "choose a shorter --runtime-dir"
        )
    return path
