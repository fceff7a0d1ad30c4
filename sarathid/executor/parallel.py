"""The executor of many ranks: a model in parts and stages, each in a process of its own."""

import os
import selectors
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

import msgspec

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.pipeline import StageWork
from sarathid.errors import ConfigError, EngineFailed, ModelRefused, SarathiError
from sarathid.executor.base import ExecutorInfo, ExecutorOutput
from sarathid.executor.joined_node import await_nodes
from sarathid.executor.layout import Layout
from sarathid.executor.local_ranks import LocalRanks
from sarathid.executor.network import interface_of, listen, read_endpoint
from sarathid.executor.rank_messages import (
    FileMeeting,
    RankBeat,
    RankFault,
    RankLives,
    RankMessage,
    RankReady,
    SocketMeeting,
    StageDone,
)
from sarathid.executor.rank_node import Port, RankNode
from sarathid.executor.rank_watch import SIGN_EVERY_S, RankWatch
from sarathid.executor.running_ahead import runs_ahead
from sarathid.executor.warm_up import isolated_decode_s, shape_for
from sarathid.models.model_config import ModelConfig
from sarathid.models.model_files import resolve
from sarathid.protocol.stats import WeightsOrigin
from sarathid.scheduler.batch import ScheduledBatch

_ASKS_FOR_A_BEAT = b""
_LOOPBACK = "lo"
_FAULTS: dict[int, type[SarathiError]] = {error.exit_code: error for error in (ConfigError, ModelRefused)}

_Message = TypeVar("_Message", RankReady, RankBeat, StageDone)


class ParallelExecutor:
    """Has ranks run the model: as many batches are in flight as there are stages.

    This process computes nothing, so that it schedules while all stages work. When a rank ends, everything that waits
    for one raises `EngineFailed`: a group that lost a rank is worth nothing, and a new engine starts another. Which
    ranks it waits for longer than usual is told by `tell_awaited`.
    """

    def __init__(self, config: EngineConfig, tell_awaited: Callable[[str], None] = lambda _: None) -> None:
        self._config = config
        self._layout = Layout.of(config)
        self.runs_ahead = runs_ahead(config.async_scheduling, self._layout.num_ranks, is_beside=False)
        self._nodes: list[RankNode] = []
        self._selector = selectors.DefaultSelector()
        self._encoder = msgspec.msgpack.Encoder()
        self._tell_awaited = tell_awaited
        self._watch = RankWatch(self._layout.num_ranks, self._names, MonotonicClock(), tell_awaited)
        self._done: tuple[deque[StageDone], ...] = tuple(deque() for _ in range(self._layout.num_stages))

    @property
    def max_batches_in_flight(self) -> int:
        return self._layout.num_stages

    def start(self) -> ExecutorInfo:
        files = resolve(self._config.model)
        for index in range(self._layout.num_ranks):
            self._layout.share(files.config, index)  # refuses at once what does not divide
        if self._layout.num_nodes == 1:
            self._start_alone()
        else:
            self._start_with_others(files.config)
        ranks = self._hear_all(RankReady)
        self._check_alike(ranks)
        self.probe()  # and tell the clocks of other nodes from ours
        first = ranks[0]
        shape = shape_for(
            first.device, self._config.max_num_seqs, first.max_model_len, first.num_blocks, first.block_size
        )
        return ExecutorInfo(
            model=files.name,
            device=first.device,
            dtype=first.dtype,
            quantization=first.quantization,
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
            weights_origin=min((rank.weights_origin for rank in ranks), key=list(WeightsOrigin).index),
            weights_fault="; ".join(dict.fromkeys(rank.weights_fault for rank in ranks if rank.weights_fault)),
            notes=(*dict.fromkeys(note for rank in ranks for note in rank.notes), self._rank_note(ranks)),
        )

    def submit(self, batch: ScheduledBatch) -> None:
        body = self._encoder.encode(batch)
        for node in self._nodes:
            node.put(body)

    def collect(self) -> ExecutorOutput:
        self._watch.begin()
        while (stage := self._stage_at_work) is not None:
            for message in self._hear(self._layout.ranks_of_stage(stage)):
                assert isinstance(message, StageDone), "ranks that have work speak of nothing else"
                self._done[self._layout.stage_of(message.index)].append(message)
        oldest = [done.popleft() for done in self._done]
        works = tuple(StageWork(done.start_s, done.busy_s) for done in oldest)
        return ExecutorOutput(oldest[-1].drawn, works)

    def probe(self) -> None:
        for node in self._nodes:
            node.put(_ASKS_FOR_A_BEAT)
        self._hear_all(RankBeat)

    def close(self) -> None:
        for node in self._nodes:
            node.close()
        self._nodes = []
        self._selector.close()

    def _start_alone(self) -> None:
        """Start ranks that meet at a file without a name, which is gone with the last of them."""
        descriptor = os.memfd_create("sarathid-meeting")
        try:
            self._add(LocalRanks(self._config, self._layout, 0, FileMeeting(descriptor), _LOOPBACK))
        finally:
            os.close(descriptor)

    def _start_with_others(self, model: ModelConfig) -> None:
        """Wait for the other nodes, and start ranks that meet at the first of them."""
        # Deferred: it loads torch, which this process needs for nothing else.
        from sarathid.executor.placement import device_type

        assert self._config.rendezvous is not None, "the configuration was checked"
        host, port = read_endpoint(self._config.rendezvous)
        engine = msgspec.structs.replace(self._config, device=device_type(self._config.device))
        with listen(host) as meeting:
            there = SocketMeeting(host=host, port=meeting.getsockname()[1])
            for node in await_nodes((host, port), engine, model, self._layout, there, self._tell_awaited):
                self._add(node)
            here = msgspec.structs.replace(there, descriptor=meeting.fileno())
            self._add(LocalRanks(engine, self._layout, 0, here, interface_of(host)))

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
        self._watch.begin()
        while awaited := [rank for rank in range(self._layout.num_ranks) if rank not in heard]:
            for message in self._hear(awaited):
                assert isinstance(message, type_), "ranks answer what they are asked"
                heard[message.index] = message
        return [heard[index] for index in sorted(heard)]

    def _hear(self, awaited: Sequence[int]) -> Iterator[RankMessage]:
        """Wait until ranks have something to say, such as `awaited`, and yield it; raises what ended a rank."""
        for key, _ in self._selector.select(SIGN_EVERY_S):
            port, node = cast(Port, key.fileobj), cast(RankNode, key.data)
            message = port.receive()
            if message is None:
                raise EngineFailed(node.how_lost() or "a rank ended without a word")
            if isinstance(message, RankFault):
                raise self._failure(message, node)
            self._watch.heard(message.index)
            if not isinstance(message, RankLives):
                yield message
        self._watch.look(awaited)

    @property
    def _stage_at_work(self) -> int | None:
        """The first stage that is not through with the oldest batch."""
        return next((stage for stage, done in enumerate(self._done) if not done), None)

    def _names(self, ranks: Sequence[int]) -> str:
        """Return what some ranks are called: by number and layout, and by node where that is not this one."""
        return f"{' and '.join(f'rank {rank}{self._place_of(rank)}' for rank in ranks)} of {self._layout}"

    def _place_of(self, rank: int) -> str:
        return self._nodes[self._layout.node_of(rank) - 1].place  # the first node, which is this one, was added last

    def _check_alike(self, ranks: Sequence[RankReady]) -> None:
        """Raise `ConfigError` where nodes differ in what their ranks compute with, each by what it has at hand."""
        expected = ranks[0].arithmetic
        for rank in ranks:
            if rank.arithmetic != expected:
                raise ConfigError(
                    f"{self._names([rank.index])} computes in {rank.arithmetic} and rank 0 in {expected}: have the "
                    "same compiler on all nodes, or name --quantize and --dtype"
                )

    def _rank_note(self, ranks: Sequence[RankReady]) -> str:
        pids = ", ".join(str(rank.pid) for rank in ranks)
        return f"{len(ranks)} ranks, {ranks[0].num_threads} of the threads in each, processes {pids}"

    def _failure(self, fault: RankFault, node: RankNode) -> SarathiError:
        """Return what to raise for a rank's fault: where another was killed, its end has brought down this one."""
        place = self._place_of(fault.index)
        if (error := _FAULTS.get(fault.exit_code)) is not None:
            return error(f"{fault.message}{place}")
        if fault.was_killed:
            return EngineFailed(f"{fault.message}{place}")
        others = [other for other in self._nodes if fault.trace or other is not node]
        lost = [found for other in others if (found := other.how_lost()) is not None]
        if lost:
            return EngineFailed(lost[0])
        if not fault.trace:  # a node that joined has its trace
            return EngineFailed(f"{fault.message}{place}")
        sys.stderr.write(fault.trace)
        return EngineFailed(f"rank {fault.index}{place} failed: {fault.message}")
