"""The side of a node that joins an engine: it runs its ranks for as long as the engine wants them."""

import selectors
import socket
import sys
from typing import cast

import msgspec

from sarathid.errors import CodecError, ConfigError, ModelRefused, SarathiError
from sarathid.executor.frames import FrameSocket
from sarathid.executor.joined_node import digest_of
from sarathid.executor.layout import Layout
from sarathid.executor.local_ranks import LocalRanks
from sarathid.executor.network import interface_of, watch
from sarathid.executor.node_messages import NodeAnswer, NodeConfig, NodeHello, NodeRefused
from sarathid.executor.rank_messages import RankFault
from sarathid.executor.rank_node import Port
from sarathid.exit_codes import ExitCode
from sarathid.models.model_files import resolve
from sarathid.protocol.codec import decode, encode
from sarathid.version import __version__

_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 30.0  # the engine hears those who come one after another


class NodeHost:
    """One membership, from the connection to the engine on; `model` replaces the engine's name of the model.

    Raises `OSError` when no engine listens at `endpoint`, or it leaves before it has said anything, and `ConfigError`
    when it refuses this node.
    """

    def __init__(self, endpoint: tuple[str, int], model: str | None = None) -> None:
        connection = socket.create_connection(endpoint, _CONNECT_TIMEOUT_S)
        watch(connection)
        self._host = connection.getsockname()[0]
        self._link = FrameSocket(connection)
        try:
            self._config = self._introduce()
        except BaseException:
            self._link.close()
            raise
        self._engine = msgspec.structs.replace(self._config.engine, model=model or self._config.engine.model)
        self._layout = Layout.of(self._engine)

    def __str__(self) -> str:
        ranks = self._layout.ranks_of_node(self._config.index)
        which = f"rank {ranks.start}" if len(ranks) == 1 else f"ranks {ranks.start} to {ranks.stop - 1}"
        return f"{which} of {self._layout.num_ranks} ({self._layout})"

    def run(self) -> str:
        """Run this node's ranks until the engine or one of them ends; returns which, and leaves nothing behind.

        Raises what keeps them from starting, which the engine is told too.
        """
        try:
            self._check_model()
            ranks = LocalRanks(
                self._engine, self._layout, self._config.index, self._config.meeting, interface_of(self._host)
            )
        except SarathiError as error:
            self._link.send(encode(self._fault(str(error), error.exit_code)))
            raise
        try:
            return self._relay(ranks)
        finally:
            ranks.close()
            self._link.close()

    def _introduce(self) -> NodeConfig:
        """Say who this is, and return what the engine has it run."""
        self._link.connection.settimeout(_ANSWER_TIMEOUT_S)
        self._link.send(encode(NodeHello(version=__version__)))
        body = self._link.receive()
        try:
            answer: NodeConfig | NodeRefused | None = None if body is None else decode(body, NodeAnswer)
        except CodecError:
            answer = None
        if answer is None:
            raise ConnectionResetError("who listens there is no engine, or one that has all its nodes")
        if isinstance(answer, NodeRefused):
            raise ConfigError(f"the engine refuses this node: {answer.reason}")
        self._link.connection.settimeout(None)
        return answer

    def _check_model(self) -> None:
        found = resolve(self._engine.model)
        if digest_of(found.config) != self._config.model_digest:
            raise ModelRefused(f"{found.path} is not the model that the engine serves")

    def _relay(self, ranks: LocalRanks) -> str:
        """Pass on what the engine and the ranks say, until one of them says no more."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            for port in ranks.ports:
                selector.register(port, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._link:
                        body = self._link.receive()
                        if body is None:
                            return "the engine is gone"
                        ranks.put(body)
                        continue
                    message = cast(Port, key.fileobj).receive()
                    if message is None or (isinstance(message, RankFault) and message.trace):
                        last_word = self._last_word(message, ranks)
                        self._link.send(encode(last_word))
                        return last_word.message
                    self._link.send(encode(message))

    def _last_word(self, fault: RankFault | None, ranks: LocalRanks) -> RankFault:
        """Return what becomes of a rank that is no more, with its `fault` if it said one, or who brought it down."""
        if (killed := ranks.how_lost()) is not None:
            return self._fault(killed, was_killed=True)
        if fault is None:
            return self._fault("a rank ended without a word")
        sys.stderr.write(fault.trace)
        return self._fault(f"rank {fault.index} failed: {fault.message}")

    def _fault(self, reason: str, exit_code: int = ExitCode.UNEXPECTED, *, was_killed: bool = False) -> RankFault:
        index = self._layout.ranks_of_node(self._config.index).start
        return RankFault(index=index, message=reason, exit_code=exit_code, was_killed=was_killed)
