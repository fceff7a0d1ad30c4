"""What passes between an engine and the processes of its ranks, beside the batches."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.config import EngineConfig
from sarathid.protocol.stats import WeightsOrigin
from sarathid.scheduler.batch import Drawn

MAX_RANKS = 1024
RankIndex: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_RANKS)]


class FileMeeting(msgspec.Struct, frozen=True, tag="file"):
    """Ranks of one node find each other through a file that only they have, open as `descriptor`."""

    descriptor: int


class SocketMeeting(msgspec.Struct, frozen=True, kw_only=True, tag="socket"):
    """Ranks of several nodes find each other at the first rank, which listens there on the socket `descriptor`."""

    host: str
    port: Annotated[int, Meta(ge=1, le=65_535)]
    descriptor: int | None = None


class RankConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a rank is told when it starts; the descriptors are open in its process.

    It takes batches from the memory `batches` when the event `arrivals` says so, and writes what it has to say to
    `reports`.
    """

    engine: EngineConfig
    index: RankIndex
    num_threads: int
    meeting: FileMeeting | SocketMeeting
    batches: int
    arrivals: int
    reports: int


class RankReady(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """A rank has loaded its share and joined the others."""

    index: RankIndex
    pid: int
    device: str
    dtype: str
    quantization: str | None
    attention_backend: str
    layer_kernels: str
    num_blocks: int
    block_size: int
    max_model_len: int
    kv_cache_bytes: int
    weight_bytes: int
    num_threads: int
    weights_origin: WeightsOrigin
    weights_fault: str
    notes: tuple[str, ...]

    @property
    def arithmetic(self) -> str:
        """How it multiplies: only parts that do it alike add up."""
        return f"{self.quantization or self.dtype} by {self.layer_kernels}"


class StageDone(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The first rank of a stage is through with the oldest batch; the last stage has what it gave.

    It began at `start_s` of its node's monotonic clock and was busy for `busy_s`.
    """

    index: RankIndex
    start_s: float
    busy_s: float
    drawn: Drawn = Drawn()


class RankBeat(msgspec.Struct, frozen=True, kw_only=True, tag="beat"):
    """A rank was asked whether it lives, at `now_s` of its node's monotonic clock."""

    index: RankIndex
    now_s: float


class RankLives(msgspec.Struct, frozen=True, kw_only=True, tag="lives"):
    """A rank's process runs, unasked and whatever it does; said every second from its start on."""

    index: RankIndex


class RankFault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """A rank ends because of this; `exit_code` as in `sarathid.errors`.

    `trace` is where in the code it came from, empty for a mistake of the user's, and for what a node that joined says
    in the place of its ranks: `was_killed` where one of them did not end of its own accord.
    """

    index: RankIndex
    message: str
    exit_code: int
    trace: str = ""
    was_killed: bool = False


RankMessage: TypeAlias = RankReady | StageDone | RankBeat | RankLives | RankFault
