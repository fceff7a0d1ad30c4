"""Loaded by each interpreter that has this directory in its path: writes down whatever is unpickled.

`$UNPICKLED` names the file. What is noted is every call of an unpickler and, by the audit hook, every name that one
looks up, whoever made it.
"""

import _pickle
import os
import pickle
import sys
from typing import Any


def note(what: str) -> None:
    with open(os.environ["UNPICKLED"], "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {what}\n")


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        note(f"{event} {arguments[0]}.{arguments[1]}")


def noting(name: str, function: Any) -> Any:
    def noted(*arguments: Any, **options: Any) -> Any:
        note(name)
        return function(*arguments, **options)

    return noted


if "UNPICKLED" in os.environ:
    sys.addaudithook(audit)
    for module in (pickle, _pickle):
        for name in ("load", "loads"):
            setattr(module, name, noting(f"{module.__name__}.{name}", getattr(module, name)))
