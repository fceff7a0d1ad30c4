"""The executor of many ranks: a model in parts and stages, each in a process of its own."""

import os
import selectors
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

import msgspec

from sarathid.config import EngineConfig
from sarathid.costmodel.pipeline import StageWork
from sarathid.errors import ConfigError, EngineFailed, ModelRefused, SarathiError
from sarathid.executor.base import ExecutorInfo, ExecutorOutput
from sarathid.executor.layout import Layout
from sarathid.executor.local_ranks import LocalRanks
from sarathid.executor.rank_messages import FileMeeting, RankBeat, RankFault, RankMessage, RankReady, StageDone
from sarathid.executor.rank_node import Port, RankNode
from sarathid.executor.warm_up import isolated_decode_s, shape_for
from sarathid.models.model_files import resolve
from sarathid.scheduler.batch import ScheduledBatch

_ASKS_FOR_A_BEAT = b""
_LOOPBACK = "lo"
_FAULTS: dict[int, type[SarathiError]] = {error.exit_code: error for error in (ConfigError, ModelRefused)}

_Message = TypeVar("_Message", RankReady, RankBeat, StageDone)


class ParallelExecutor:
    """Has ranks run the model: as many batches are in flight as there are stages.

    This process computes nothing, so that it schedules while all stages work. When a rank ends, everything that waits
    for one raises `EngineFailed`: a group that lost a rank is worth nothing, and a new engine starts another.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._layout = Layout.of(config)
        self._nodes: list[RankNode] = []
        self._selector = selectors.DefaultSelector()
        self._encoder = msgspec.msgpack.Encoder()
        self._done: tuple[deque[StageDone], ...] = tuple(deque() for _ in range(self._layout.num_stages))

    @property
    def max_batches_in_flight(self) -> int:
        return self._layout.num_stages

    def start(self) -> ExecutorInfo:
        files = resolve(self._config.model)
        for index in range(self._layout.num_ranks):
            self._layout.share(files.config, index)  # refuses at once what does not divide
        self._open_nodes()
        ranks = self._hear_all(RankReady)
        first = ranks[0]
        shape = shape_for(
            first.device, self._config.max_num_seqs, first.max_model_len, first.num_blocks, first.block_size
        )
        return ExecutorInfo(
            model=files.name,
            device=first.device,
            dtype=first.dtype,
            layout=str(self._layout),
            attention_backend=first.attention_backend,
            num_blocks=first.num_blocks,
            block_size=first.block_size,
            kv_cache_bytes=sum(rank.kv_cache_bytes for rank in ranks),
            weight_bytes=sum(rank.weight_bytes for rank in ranks),
            vocab_size=files.config.vocab_size,
            max_model_len=first.max_model_len,
            eos_token_ids=files.config.eos_token_ids,
            isolated_decode_s=isolated_decode_s(self._run, shape, first.block_size),
            num_threads=sum(rank.num_threads for rank in ranks),
            sliding_window=files.config.sliding_window,
            notes=(*dict.fromkeys(note for rank in ranks for note in rank.notes), self._rank_note(ranks)),
        )

    def submit(self, batch: ScheduledBatch) -> None:
        body = self._encoder.encode(batch)
        for node in self._nodes:
            node.put(body)

    def collect(self) -> ExecutorOutput:
        while not all(self._done):
            for message in self._hear():
                assert isinstance(message, StageDone), "ranks that have work speak of nothing else"
                self._done[self._layout.stage_of(message.index)].append(message)
        oldest = [done.popleft() for done in self._done]
        works = tuple(StageWork(done.start_s, done.busy_s) for done in oldest)
        return ExecutorOutput(oldest[-1].token_ids, works)

    def probe(self) -> None:
        for node in self._nodes:
            node.put(_ASKS_FOR_A_BEAT)
        self._hear_all(RankBeat)

    def close(self) -> None:
        for node in self._nodes:
            node.close()
        self._nodes = []
        self._selector.close()

    def _open_nodes(self) -> None:
        """Start the ranks; what they meet at is gone with the last of them, since nobody else has it."""
        descriptor = os.memfd_create("sarathid-meeting")
        try:
            self._add(LocalRanks(self._config, self._layout, 0, FileMeeting(descriptor), _LOOPBACK))
        finally:
            os.close(descriptor)

    def _add(self, node: RankNode) -> None:
        self._nodes.append(node)
        for port in node.ports:
            self._selector.register(port, selectors.EVENT_READ, node)

    def _run(self, batch: ScheduledBatch) -> ExecutorOutput:
        self.submit(batch)
        return self.collect()

    def _hear_all(self, type_: type[_Message]) -> Sequence[_Message]:
        """Wait until every rank has said one thing of a kind, and return those in the ranks' order."""
        heard: dict[int, _Message] = {}
        while len(heard) < self._layout.num_ranks:
            for message in self._hear():
                assert isinstance(message, type_), "ranks answer what they are asked"
                heard[message.index] = message
        return [heard[index] for index in sorted(heard)]

    def _hear(self) -> Iterator[RankMessage]:
        """Wait until ranks have something to say, and yield it; raises what ended a rank."""
        for key, _ in self._selector.select():
            port, node = cast(Port, key.fileobj), cast(RankNode, key.data)
            message = port.receive()
            if message is None:
                raise EngineFailed(node.how_lost() or "a rank ended without a word")
            if isinstance(message, RankFault):
                raise self._failure(message, node)
            yield message

    def _rank_note(self, ranks: Sequence[RankReady]) -> str:
        pids = ", ".join(str(rank.pid) for rank in ranks)
        return f"{len(ranks)} ranks of {ranks[0].num_threads} threads each, processes {pids}"

    def _failure(self, fault: RankFault, node: RankNode) -> SarathiError:
        """Return what to raise for a rank's fault: where another was killed, its end has brought down this one."""
        if (error := _FAULTS.get(fault.exit_code)) is not None:
            return error(fault.message)
        if (lost := node.how_lost()) is not None:
            return EngineFailed(lost)
        sys.stderr.write(fault.trace)
        return EngineFailed(f"rank {fault.index} failed: {fault.message}")
