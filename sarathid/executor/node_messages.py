"""What passes between the node that has the engine and one that joins it, beside batches and what ranks say."""

from typing import TypeAlias

import msgspec

from sarathid.config import EngineConfig
from sarathid.executor.rank_messages import SocketMeeting


class NodeHello(msgspec.Struct, frozen=True, kw_only=True):
    """The first word of a node that joins."""

    version: str


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, tag="config"):
    """What node `index` is to run; `model_digest` is of the configuration that its copy of the model must have."""

    index: int
    engine: EngineConfig
    model_digest: str
    meeting: SocketMeeting


class NodeRefused(msgspec.Struct, frozen=True, tag="refused"):
    """The node can't join, and this is why."""

    reason: str


NodeAnswer: TypeAlias = NodeConfig | NodeRefused
