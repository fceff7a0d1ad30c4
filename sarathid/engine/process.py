"""The engine's own process: `python -m sarathid.engine.process --endpoint PATH`.

It reads its `EngineConfig` as one line of JSON from standard input, whose end means that the daemon
is gone, and then speaks the messages of `sarathid.protocol.step` with it.
"""

import argparse
import gc
import sys
from pathlib import Path

import msgspec
import zmq

from sarathid.config import EngineConfig
from sarathid.engine.host import EngineHost, send
from sarathid.engine.loaded_engine import load_engine
from sarathid.errors import SarathiError
from sarathid.executor.kept_memory import KeptMemory
from sarathid.executor.lifeline import live_and_die_with_the_parent
from sarathid.executor.unexpected import UnexpectedFault
from sarathid.protocol.step import EngineFault, EngineReady, EngineWaits
from sarathid.telemetry.gc_meter import GarbageCollectionMeter


def main() -> int:
    """Serve the daemon until it says stop; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="sarathid-engine")
    parser.add_argument("--endpoint", type=Path, required=True, help="the daemon's socket for this engine")
    parser.add_argument("--kept-memory", type=int, help="the descriptor of memory that outlives this process")
    parser.add_argument("--generation", type=int, default=0, help="how many engines the daemon had before")
    arguments = parser.parse_args()
    live_and_die_with_the_parent()
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineConfig)
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.set_hwm(0)
    socket.linger = 1000
    socket.connect(f"ipc://{arguments.endpoint}")
    try:
        _serve(config, socket, None if arguments.kept_memory is None else KeptMemory(arguments.kept_memory))
    except SarathiError as error:
        send(socket, EngineFault(message=str(error), exit_code=error.exit_code))
        return error.exit_code
    except Exception:  # noqa: BLE001 - the daemon is told, whatever it was, and starts another engine
        fault = UnexpectedFault.caught()
        sys.stderr.write(fault.for_log)
        send(socket, EngineFault(message=f"the engine failed: {fault}", exit_code=1))
        return 1
    finally:
        socket.close()
        context.term()
    return 0


def _serve(config: EngineConfig, socket: "zmq.Socket[bytes]", kept: KeptMemory | None) -> None:
    meter = GarbageCollectionMeter()
    engine = load_engine(config, kept, lambda: meter.total_s, lambda awaited: send(socket, EngineWaits(awaited)))
    try:
        gc.collect()
        gc.freeze()
        meter.start()
        send(socket, EngineReady(info=engine.info, settings=engine.core.settings))
        EngineHost(engine.core, socket, sys.stdin.fileno()).run()
    finally:
        engine.executor.close()


if __name__ == "__main__":
    sys.exit(main())
