"""A rank's share: converted once, mapped from then on, and served whatever befalls what was kept."""

from pathlib import Path

import pytest
import torch
from sarathi_kernels.layers import TorchLayers
from sarathi_kernels.quantized import Quantization

from sarathid.executor.share_loader import LoadedShare, ShareLoader
from sarathid.models.decoder import Decoder
from sarathid.models.layers.context import LayerContext, WeightMemory
from sarathid.models.model_files import resolve
from sarathid.models.registry import build_model
from sarathid.models.share import ModelShare
from sarathid.protocol.stats import WeightsOrigin
from tests.models.tiny import save_tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShareLoader:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_tiny_model(tmp_path / "tiny")
    files = resolve(str(tmp_path / "tiny"))
    share = ModelShare.whole(files.config)

    def build(memory: WeightMemory) -> Decoder:
        return build_model(share, 8, LayerContext(CPU, torch.float32, TorchLayers(), Quantization.INT8, memory=memory))

    return ShareLoader(files, share, CPU, build, 1)


def load(loader: ShareLoader) -> LoadedShare:
    return loader.convert_once(1 << 20, Quantization.INT8)


def embedded(share: LoadedShare) -> torch.Tensor:
    return share.model.part_logits(share.model.embed(torch.arange(8)))


def test_the_second_start_maps_what_the_first_converted(loader: ShareLoader) -> None:
    first, second = load(loader), load(loader)
    assert (first.origin, first.fault) == (WeightsOrigin.CONVERTED, "")
    assert (second.origin, second.fault) == (WeightsOrigin.MAPPED, "")
    assert torch.equal(embedded(first), embedded(second))


def test_what_was_damaged_is_told_of_and_made_anew(loader: ShareLoader, tmp_path: Path) -> None:
    first = load(loader)
    (kept,) = (tmp_path / "cache" / "sarathid" / "weights").iterdir()
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    second = load(loader)
    assert second.origin is WeightsOrigin.CONVERTED
    assert second.fault == f"{kept} was damaged and is made anew: its content is not what was written"
    assert torch.equal(embedded(first), embedded(second))
    assert load(loader).origin is WeightsOrigin.MAPPED


def test_a_cache_that_cannot_be_written_to_keeps_nobody_from_serving(
    loader: ShareLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(loader)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")
    second = load(loader)
    assert second.origin is WeightsOrigin.CONVERTED
    assert "/proc/self/sarathid can't be made" in second.fault
    assert torch.equal(embedded(first), embedded(second))
