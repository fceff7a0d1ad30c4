"""The engine's own process: `python -m sarathid.engine.process --daemon DESCRIPTOR`.

It reads its `EngineConfig` as one line of JSON from standard input, whose end means that the daemon
is gone, and then speaks the messages of `sarathid.protocol.step` with it, over the socket that it inherited.
"""

import argparse
import gc
import socket
import sys

import msgspec

from sarathid.config import EngineConfig
from sarathid.engine.host import EngineHost
from sarathid.engine.link import DaemonLink
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
    parser.add_argument("--daemon", type=int, required=True, help="the descriptor of the socket to the daemon")
    parser.add_argument("--kept-memory", type=int, help="the descriptor of memory that outlives this process")
    parser.add_argument("--generation", type=int, default=0, help="how many engines the daemon had before")
    arguments = parser.parse_args()
    live_and_die_with_the_parent()
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineConfig)
    link = DaemonLink(socket.socket(fileno=arguments.daemon))
    try:
        _serve(config, link, None if arguments.kept_memory is None else KeptMemory(arguments.kept_memory))
    except SarathiError as error:
        link.send(EngineFault(message=str(error), exit_code=error.exit_code))
        return error.exit_code
    except Exception:  # noqa: BLE001 - the daemon is told, whatever it was, and starts another engine
        fault = UnexpectedFault.caught()
        sys.stderr.write(fault.for_log)
        link.send(EngineFault(message=f"the engine failed: {fault}", exit_code=1))
        return 1
    finally:
        link.close()
    return 0


def _serve(config: EngineConfig, link: DaemonLink, kept: KeptMemory | None) -> None:
    meter = GarbageCollectionMeter()
    engine = load_engine(config, kept, lambda: meter.total_s, lambda awaited: link.send(EngineWaits(awaited)))
    try:
        gc.collect()
        gc.freeze()
        meter.start()
        link.send(EngineReady(info=engine.info, settings=engine.core.settings))
        EngineHost(engine.core, link, sys.stdin.fileno()).run()
    finally:
        engine.executor.close()


if __name__ == "__main__":
    sys.exit(main())
