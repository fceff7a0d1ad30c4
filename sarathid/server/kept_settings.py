"""The settings that outlive the daemon: what was changed while it ran, one file for each runtime directory."""

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from sarathid.errors import ConfigError
from sarathid.paths import replace_file
from sarathid.slo.revisions import SettingValues

FILE_NAME = "settings.json"

log = logging.getLogger(__name__)


class KeptTexts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Settings by their names on the command line, as they would be written there; None where nothing is kept."""

    token_budget: str | None = None
    policy: str | None = None
    slo_tbt: str | None = None
    slo_ttft: str | None = None

    def by_name(self) -> dict[str, str]:
        """Return those that are kept."""
        return {name: text for name, text in msgspec.structs.asdict(self).items() if text is not None}


class KeptSettings:
    """Reads the file of a state directory when a daemon starts, and writes it when a change has come to stay.

    Not waiting for the disk, it survives the daemon's death at any moment, and that of the machine in nearly all cases.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def read(self) -> dict[str, str]:
        """Return the settings kept, by name; none, and a line in the log, when the file is broken."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=KeptTexts).by_name()
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.warning("the kept settings in %s are ignored: %s", self._path, error)
            return {}

    def write(self, texts: Mapping[str, str]) -> None:
        """Replace what is kept, at once and as a whole; where that fails, say so and go on."""
        try:
            replace_file(self._path, msgspec.json.encode(KeptTexts(**texts)))
        except (OSError, ConfigError) as error:
            log.warning("settings can't be kept in %s: %s", self._path, error)


def texts_of(values: SettingValues) -> dict[str, str]:
    """Return settings as they would be written on the command line."""
    return {
        "token_budget": str(values["budget"]),
        "policy": values["policy"],
        "slo_tbt": _target(values["tbt_s"]),
        "slo_ttft": _target(values["ttft_s"]),
    }


def _target(target_s: float | None) -> str:
    return "off" if target_s is None else f"{target_s!r}s"
