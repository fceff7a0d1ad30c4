"""Where this runs: versions and the machine, by which nobody is known."""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from sarathid.version import __version__

_DISTRIBUTION = "sarathid"
_TERMINAL = ("TERM", "COLORTERM", "LANG", "LC_ALL", "NO_COLOR")


def environment_facts() -> dict[str, Any]:
    """Return versions, processors, memory and the terminal; of the daemon's variables the names alone."""
    return {
        "sarathid": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "packages": _package_versions(),
        "processor": _line_of(Path("/proc/cpuinfo"), r"model name\s*: (.+)"),
        "num_processors": os.cpu_count(),
        "num_usable_processors": len(os.sched_getaffinity(0)),
        "memory": _line_of(Path("/proc/meminfo"), r"MemTotal:\s*(.+)"),
        "memory_available": _line_of(Path("/proc/meminfo"), r"MemAvailable:\s*(.+)"),
        "load_average": os.getloadavg(),
        "nvidia_driver": _line_of(Path("/proc/driver/nvidia/version"), r"NVRM version: (.+)"),
        "terminal": {name: os.environ[name] for name in _TERMINAL if name in os.environ},
        "variables": sorted(name for name in os.environ if name.startswith("SARATHID_")),
    }


def _package_versions() -> dict[str, str | None]:
    """Return the versions of what the program needs, None for what is not installed."""
    try:
        needed = requires(_DISTRIBUTION) or ()
    except PackageNotFoundError:
        return {}
    names = (re.split(r"[\s<>=!~;\[]", text, maxsplit=1)[0] for text in needed if "extra ==" not in text)
    return {name: _version_of(name) for name in sorted(names)}


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _line_of(path: Path, pattern: str) -> str | None:
    """Return what the first line that matches says, None where there is none."""
    try:
        found = re.search(pattern, path.read_text())
    except OSError:
        return None
    return None if found is None else found[1]
