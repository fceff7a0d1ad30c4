"""The environment of programs that would otherwise look for models and data at the Hugging Face Hub."""

import os
from pathlib import Path


def offline_environment(cache: Path, **variables: str) -> dict[str, str]:
    """Return an environment in which nothing is looked up, and what is made goes into `cache`."""
    switches = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return {**os.environ, **switches, "HF_HOME": os.fspath(cache), **variables}
