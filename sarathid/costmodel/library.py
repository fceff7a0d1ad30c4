"""Finds cost profiles by name: the user's own before those that ship."""

import hashlib
import logging
from pathlib import Path

import sarathi_profiles

from sarathid.costmodel.cost_profile import CostProfile, parse_profile
from sarathid.errors import ConfigError
from sarathid.paths import profile_dir

log = logging.getLogger(__name__)


def find_profile(name: str) -> CostProfile:
    """Return the profile of that name, or the one in a `.toml` file.

    Raises `ConfigError` with the names there are, or with what is wrong in the file.
    """
    path = Path(name) if name.endswith(".toml") else profile_path(name)
    if path.is_file():
        return parse_profile(path.read_bytes(), path)
    if name in sarathi_profiles.available():
        return parse_profile(sarathi_profiles.read(name), name)
    raise ConfigError(f"there is no profile {name!r}; choose one of {', '.join(available())}, or a .toml file")


def profile_if_any(name: str) -> CostProfile | None:
    """Return the profile of that name, None if there is none.

    A file of the user's that is wrong is told of in the log and passed over, for the one that ships if there is one:
    nobody is to go unserved for the sake of a prediction.
    """
    if not (name.endswith(".toml") or name in available()):
        return None
    try:
        return find_profile(name)
    except (ConfigError, OSError) as error:
        log.warning("the cost profile %s is not used: %s", name, error)
    return parse_profile(sarathi_profiles.read(name), name) if name in sarathi_profiles.available() else None


def available() -> tuple[str, ...]:
    """Return the names of the user's profiles and of those that ship, in alphabetical order."""
    directory = profile_dir()
    own = {path.relative_to(directory).with_suffix("").as_posix() for path in directory.glob("*/*.toml")}
    return tuple(sorted(own.union(sarathi_profiles.available())))


def profile_path(name: str) -> Path:
    """Return where the user's profile of that name lies, or would."""
    return profile_dir() / f"{name}.toml"


def shipped_digest() -> str:
    """Return the SHA-256 of all shipped profiles, names included, in alphabetical order."""
    digest = hashlib.sha256()
    for name in sarathi_profiles.available():
        digest.update(name.encode() + b"\0" + sarathi_profiles.read(name))
    return digest.hexdigest()
