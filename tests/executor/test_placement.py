"""Each rank of a node has a GPU of its own, or it is said how many there are; GPUs are made up here."""

import pytest
import torch

from sarathid.errors import ConfigError, ModelRefused
from sarathid.executor.layout import Layout
from sarathid.executor.local_ranks import rank_environment
from sarathid.executor.placement import device_type, place
from sarathid.executor.rank_groups import backend_of
from sarathid.models.model_config import ModelConfig
from sarathid.models.model_files import resolve
from sarathid.models.share import ModelShare
from tests.models.tiny import save_tiny_model

GIB = 1 << 30


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    path = tmp_path_factory.mktemp("tiny")
    save_tiny_model(path)
    return resolve(str(path)).config


def have_gpus(monkeypatch: pytest.MonkeyPatch, *free_bytes: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(free_bytes))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free_bytes))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes[device.index], 80 * GIB))


def test_the_ranks_of_a_node_take_its_gpus_in_order(monkeypatch: pytest.MonkeyPatch, model: ModelConfig) -> None:
    have_gpus(monkeypatch, 8 * GIB, 40 * GIB)
    shares = [Layout(2).share(model, rank) for rank in range(2)]
    placements = [place("cuda", "auto", None, share, index) for index, share in enumerate(shares)]

    assert [placement.device for placement in placements] == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert {placement.dtype for placement in placements} == {torch.bfloat16}


def test_who_is_alone_takes_the_gpu_with_most_memory_free(monkeypatch: pytest.MonkeyPatch, model: ModelConfig) -> None:
    have_gpus(monkeypatch, 8 * GIB, 40 * GIB)
    placement = place("auto", "auto", None, ModelShare.whole(model))

    assert placement.device == torch.device("cuda:1")
    assert placement.note is not None and "cuda:1 of 2 GPUs" in placement.note


def test_a_rank_without_a_gpu_is_told_how_many_there_are(monkeypatch: pytest.MonkeyPatch, model: ModelConfig) -> None:
    have_gpus(monkeypatch, 8 * GIB)
    with pytest.raises(ConfigError, match=r"rank 1 of this node has no GPU: there are 1; give fewer --tp x --pp"):
        place("cuda", "auto", None, Layout(2).share(model, 1), 1)


def test_one_gpu_can_not_be_named_for_several_ranks(monkeypatch: pytest.MonkeyPatch, model: ModelConfig) -> None:
    have_gpus(monkeypatch, 8 * GIB, 8 * GIB)
    with pytest.raises(ConfigError, match="device 'cuda:1' is one GPU, and each rank takes one; say cuda"):
        place("cuda:1", "auto", None, Layout(2).share(model, 1), 1)


def test_a_gpu_too_small_for_the_weights_is_refused(monkeypatch: pytest.MonkeyPatch, model: ModelConfig) -> None:
    have_gpus(monkeypatch, 1000, 1000)
    with pytest.raises(ModelRefused, match=r"and cuda:1 has 0\.00 GiB free"):
        place("cuda", "auto", None, Layout(2).share(model, 1), 1)


def test_without_gpus_cuda_is_refused_and_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    have_gpus(monkeypatch)
    assert device_type("auto") == "cpu"
    with pytest.raises(ConfigError, match="device 'cuda' was asked for, and torch finds no CUDA device"):
        device_type("cuda")


def test_gpus_talk_by_nccl_and_cpus_by_gloo_over_one_interface() -> None:
    assert (backend_of(torch.device("cuda:1")), backend_of(torch.device("cpu"))) == ("nccl", "gloo")
    environment = rank_environment(2, 4, "eth0")
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["GLOO_SOCKET_IFNAME"] == "eth0"
    assert environment["NCCL_SOCKET_IFNAME"] == "=eth0"
