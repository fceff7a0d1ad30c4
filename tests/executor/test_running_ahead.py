"""A real model gives the same tokens where batches are launched before the tokens of the last one are known."""

from typing import Any

import msgspec
import pytest
import torch
from sarathi_kernels.layers import TorchLayers
from sarathi_kernels.sampling import NUMPY_ALONE, DrawKernels
from sarathi_kernels.select import Kernels
from sarathi_kernels.torch_sdpa import TorchAttention
from sarathi_kernels.torch_varlen import VarlenAttention

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.executor.base import ExecutorInfo
from sarathid.executor.decode_graphs import Capture, run_eagerly
from sarathid.executor.local import LocalExecutor
from sarathid.executor.running_ahead import is_beside, runs_ahead
from sarathid.protocol.requests import Request
from tests.executor.greedy_run import MAX_LEN, make_requests, run_greedy
from tests.models.tiny import save_tiny_model

CONFIG = EngineConfig(
    device="cpu",
    kv_memory_bytes=300_000,  # too few blocks for all
    kv_dtype="float32",
    max_model_len=MAX_LEN,
    max_num_seqs=8,
    min_token_budget=16,
    max_token_budget=200,
    num_threads=1,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EngineConfig:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_model(directory, intermediate_size=160)
    return msgspec.structs.replace(CONFIG, model=str(directory))


class AheadExecutor(LocalExecutor):
    """Runs ahead where nothing is gained by it, so that what it gives can be seen."""

    def start(self) -> ExecutorInfo:
        info = super().start()
        self.runs_ahead = True
        return info


def mixed(requests: tuple[Request, ...]) -> tuple[Request, ...]:
    """Return the requests, drawn in several ways; from the 12th on none whose token decides how the next is drawn."""
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"temperature": 0.9, "top_k": 40},
        {"temperature": 1.2, "logprobs": 2},
        {"presence_penalty": 0.7},
    )
    return tuple(
        msgspec.structs.replace(
            request,
            sampling=msgspec.structs.replace(request.sampling, seed=index, **ways[index % (4 if index < 12 else 3)]),
        )
        for index, request in enumerate(requests)
    )


@pytest.mark.parametrize("quantize", ["off", "int8"])
@pytest.mark.parametrize("capture", [None, run_eagerly], ids=["eager", "padded"])
def test_tokens_are_the_same(config: EngineConfig, quantize: str, capture: Capture | None) -> None:
    requests = mixed(make_requests(40))
    engine, found = msgspec.structs.replace(config, quantize=quantize), []
    for kind in (LocalExecutor, AheadExecutor):
        run = run_greedy(kind(engine, capture=capture), engine, requests)
        assert run.num_preemptions > 0
        found.append(run.outputs)
    assert found[0] == found[1]


def test_where_the_host_computes_itself_it_is_refused(config: EngineConfig) -> None:
    with pytest.raises(ConfigError, match="on can't be: no kernels here run beside the host; leave it at auto"):
        LocalExecutor(msgspec.structs.replace(config, async_scheduling="on")).start()


def test_it_is_for_devices_whose_kernels_do_not_have_the_host_wait() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    drawing = DrawKernels(device=lambda logits, _: (logits.argmax(dim=1), logits.isfinite().all(dim=1)))
    attentions = (VarlenAttention(), TorchAttention())
    kernels = [Kernels(attention, TorchLayers(), draw) for attention in attentions for draw in (drawing, NUMPY_ALONE)]
    assert [is_beside(gpu, each) for each in kernels] == [True, False, False, False]
    assert not any(is_beside(cpu, each) for each in kernels)


def test_one_device_beside_the_host_runs_ahead_unless_it_is_told_not_to() -> None:
    assert [runs_ahead(mode, 1, is_beside=True) for mode in ("auto", "on", "off")] == [True, True, False]
    assert not any(runs_ahead(mode, 2, is_beside=True) for mode in ("auto", "off"))
    assert not any(runs_ahead(mode, 1, is_beside=False) for mode in ("auto", "off"))
    with pytest.raises(ConfigError, match="it is for one device, and here are 2; leave it at auto"):
        runs_ahead("on", 2, is_beside=True)
