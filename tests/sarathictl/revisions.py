"""Revisions of the settings, as a daemon would list them."""

from typing import Any

import msgspec

from sarathid.protocol.changes import ChangeOrigin
from sarathid.protocol.revisions import Revision, RevisionState
from tests.sarathictl.records import START_S, make_settings


def make_revision(number: int = 2, **changed: Any) -> Revision:
    """Return the first revision, of 256 tokens, or one of 64 that is on probation for a minute."""
    is_first = number == 1
    old = make_settings(256, revision=1)
    revision = Revision(
        revision=number,
        time_s=START_S,
        iteration=400,
        changed_by="0/17/bash",
        reason="",
        origin=ChangeOrigin.START if is_first else ChangeOrigin.ASKED,
        old=old,
        new=old if is_first else make_settings(64, revision=number),
        state=RevisionState.REPLACED if is_first else RevisionState.ON_PROBATION,
        probation_s=None if is_first else 60.0,
    )
    return msgspec.structs.replace(revision, **changed)
