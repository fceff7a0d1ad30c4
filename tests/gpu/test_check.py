"""The check tells what passed from what could not be checked, and its parts run on any machine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from sarathi_kernels.backend import AttentionMetadata, LayerCache
from sarathi_kernels.torch_sdpa import TorchAttention
from torch import Tensor

from sarathid.config import DEFAULT_MODEL
from sarathid.executor.layout import Layout
from tests.gpu import kernels
from tests.gpu.check import LIMITS_S, check, without_gpu
from tests.gpu.kernels import check_attention
from tests.gpu.layouts import LAYOUTS, check_layout
from tests.gpu.report import Row, Verdict, counts, exit_code, worst_code

CPU = torch.device("cpu")
PASSED = Row("a", Verdict.PASSED, "")
MISSING = Row("longer", Verdict.NOT_AVAILABLE, "no such thing")
FAILED = Row("b", Verdict.FAILED, "")


@pytest.fixture(scope="module")
def kernel_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled kernels are kept, so that each is compiled once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small problems on one thread: more would wait for each other at every operation on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("rows", "code"),
    [([PASSED], 0), ([PASSED, MISSING], 2), ([PASSED, MISSING, FAILED], 1), ([Row("c", Verdict.MEASURED, "3 ms")], 0)],
)
def test_the_exit_code_is_that_of_the_worst_row(rows: Sequence[Row], code: int) -> None:
    assert exit_code(rows) == code


def test_a_row_is_one_line_and_verdicts_are_counted() -> None:
    assert [" ".join(str(row).split()) for row in (PASSED, MISSING)] == [
        "a passed",
        "longer not available no such thing",
    ]
    assert counts([PASSED, MISSING]) == "1 passed, 0 FAILED, 0 measured, 1 not available"


@pytest.mark.parametrize(("codes", "worst"), [((0, 2), 2), ((1, 2), 1), ((0, 0), 0), ((2, -11), 1)])
def test_a_process_that_went_on_counts_too(codes: tuple[int, int], worst: int) -> None:
    assert worst_code(codes) == worst


def test_without_a_gpu_nothing_passes() -> None:
    rows = without_gpu()
    assert [row.what for row in rows] == list(LIMITS_S)
    assert {row.verdict for row in rows} == {Verdict.NOT_AVAILABLE}
    assert exit_code(rows) == 2


def test_backends_that_can_not_run_are_not_available(monkeypatch: pytest.MonkeyPatch, kernel_directory: Path) -> None:
    monkeypatch.setattr(kernels, "BACKENDS", {"cpu": kernels.BACKENDS["cuda"]})
    rows = list(check_attention(CPU, torch.float32, kernel_directory))
    assert [row.verdict for row in rows] == [Verdict.NOT_AVAILABLE] * 12


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, Verdict.PASSED), (1.001, Verdict.FAILED), (torch.nan, Verdict.FAILED)]
)
def test_a_backend_that_is_wrong_fails(
    monkeypatch: pytest.MonkeyPatch, kernel_directory: Path, factor: float, verdict: Verdict
) -> None:
    attend = TorchAttention.attend

    def attend_wrongly(backend: TorchAttention, q: Tensor, cache: LayerCache, metadata: AttentionMetadata) -> Tensor:
        return attend(backend, q, cache, metadata) * factor

    monkeypatch.setattr(TorchAttention, "attend", attend_wrongly)
    small = {
        "BACKENDS": {"cpu": ("torch",)},
        "HEAD_DIMS": {torch.float32: (64,)},
        "BLOCK_SIZES": (16,),
        "DECODES": kernels.DECODES[:2],
        "CHUNKS": kernels.CHUNKS[:1],
    }
    for name, value in small.items():
        monkeypatch.setattr(kernels, name, value)
    assert [row.verdict for row in check_attention(CPU, torch.float32, kernel_directory)] == [verdict]


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="this machine has GPUs for it")
def test_a_layout_of_more_ranks_than_gpus_is_not_available(tmp_path: Path) -> None:
    row = check_layout(torch.device("cuda"), Layout(2), tmp_path)
    assert row.verdict is Verdict.NOT_AVAILABLE
    assert "it takes 2 GPUs" in row.words


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_all_of_it_runs_small_on_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    rows = {row.what: row.verdict for row in check(CPU, DEFAULT_MODEL, 1500.0).rows}
    assert Verdict.FAILED not in rows.values()
    assert sum(verdict is Verdict.PASSED for verdict in rows.values()) == 13 + len(LAYOUTS)
    measured = {what for what, verdict in rows.items() if verdict is Verdict.MEASURED}
    assert {"all at once by sarathid", "all at once by transformers", "capacity under stall-free"} <= measured
    assert (tmp_path / "cpu" / "mistral-7b-float32-tp1.toml").is_file()
