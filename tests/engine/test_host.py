import os
from threading import Thread

import zmq

from sarathid.engine.host import EngineHost
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.step import AddRequest, EngineBeat, EngineMessage, Shutdown, StepOutput
from tests.factories import Engine, make_request


def test_a_request_that_can_never_fit_is_ended_and_the_host_goes_on() -> None:
    context = zmq.Context()
    read_end, write_end = os.pipe()
    with context.socket(zmq.PAIR) as daemon, context.socket(zmq.PAIR) as engine:
        daemon.bind("inproc://engine")
        engine.connect("inproc://engine")
        daemon.send(encode(AddRequest(make_request(7, num_prompt_tokens=1000))))
        daemon.send(encode(Shutdown()))
        EngineHost(Engine().core, engine, read_end).run()
        output: StepOutput = decode(daemon.recv(), EngineMessage)
    os.close(write_end)
    os.close(read_end)
    context.term()
    assert [(delta.request_id, delta.finish_reason) for delta in output.deltas] == [(7, FinishReason.ERROR)]
    assert [(stats.request_id, stats.num_prompt_tokens) for stats in output.finished] == [(7, 1000)]


def test_an_idle_host_sends_beats() -> None:
    context = zmq.Context()
    read_end, write_end = os.pipe()
    with context.socket(zmq.PAIR) as daemon, context.socket(zmq.PAIR) as engine:
        daemon.bind("inproc://engine")
        engine.connect("inproc://engine")
        hosting = Thread(target=EngineHost(Engine().core, engine, read_end).run)
        hosting.start()
        beat = decode(daemon.recv(), EngineMessage)
        daemon.send(encode(Shutdown()))
        hosting.join()
    os.close(write_end)
    os.close(read_end)
    context.term()
    assert beat == EngineBeat()
