"""Cost profiles that ship with sarathid: one TOML file a (device, model, parallelism), provenance first."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

_SUFFIX = ".toml"


def available() -> tuple[str, ...]:
    """Return the names of all profiles, `a100/yi-34b-tp2` say, in alphabetical order."""
    return tuple(sorted(name for name, _ in _profiles()))


def read(name: str) -> bytes:
    """Return the profile's file; raises `KeyError` when there is none of that name."""
    return dict(_profiles())[name].read_bytes()


def _profiles() -> Iterator[tuple[str, Traversable]]:
    for device in files(__name__).iterdir():
        if device.is_dir():
            for file in device.iterdir():
                if file.name.endswith(_SUFFIX):
                    yield f"{device.name}/{file.name.removesuffix(_SUFFIX)}", file
