"""The shipped profiles are readable, say where they come from, and agree with what was published."""

from pathlib import Path

import msgspec
import pytest
import sarathi_profiles

from sarathid.costmodel.cost_profile import CostProfile, Embedding, parse_profile, to_toml
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel, interpolate, linear_us
from sarathid.costmodel.library import find_profile, profile_if_any, profile_path
from sarathid.errors import ConfigError

PAPER_SETUPS = {
    "a100/mistral-7b-tp1",
    "a100/yi-34b-tp2",
    "a40/llama2-70b-tp4-pp2",
    "a100/falcon-180b-tp4-pp2",
    "a100/falcon-180b-tp8",
}


def test_the_papers_setups_ship() -> None:
    assert set(sarathi_profiles.available()) >= PAPER_SETUPS


@pytest.mark.parametrize("name", sarathi_profiles.available())
def test_a_shipped_profile_is_named_for_what_it_holds_and_tells_its_source(name: str) -> None:
    profile = find_profile(name)

    assert profile.name == name
    assert profile.provenance.source.strip()
    assert profile.provenance.fit_error_pct
    assert sarathi_profiles.read(name).startswith(b"[provenance]")


@pytest.mark.parametrize(
    ("name", "published_ms"),
    [
        ("a100/llama2-70b-tp4", {1: 22.7, 128: 30.6, 256: 47.0, 264: 56.9, 512: 83.0, 2048: 301.8, 4096: 584.8}),
        ("a100/llama2-70b-tp8", {1: 12.2, 128: 16.3, 256: 26.8, 264: 31.5, 512: 46.6, 2048: 158.9, 4096: 298.5}),
    ],
)
def test_linear_layers_cost_what_was_published(name: str, published_ms: dict[int, float]) -> None:
    profile = find_profile(name)
    ours_ms = {n: linear_us(profile, n) * profile.shape.num_layers / 1e3 for n in published_ms}

    assert ours_ms == pytest.approx(published_ms, rel=0.15)


def test_a_profile_survives_being_written() -> None:
    profile = find_profile("a40/llama2-70b-tp4-pp2")

    assert parse_profile(to_toml(profile), "copy") == profile


def test_the_users_own_profile_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    name = "a100/yi-34b-tp2"
    mine = sarathi_profiles.read(name).decode().replace("fixed_us = 7678.0", "fixed_us = 1.0")
    profile_path(name).parent.mkdir(parents=True)
    profile_path(name).write_text(mine)

    assert find_profile(name).overhead.fixed_us == 1.0


def test_an_unknown_profile_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no profile 'b200/gpt'.*a100/yi-34b-tp2"):
        find_profile("b200/gpt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("tile = 128", "tile = 0"), r"mine.toml: .*tile"),
        (("tensor_parallel = 2", "tensor_parallel = 1"), "all_reduce is there only when"),
        (("utilization = 0.9", "utilization = 0.3"), "leave nothing for the KV cache"),
        (("[overhead]", "[overheat]"), "overheat"),
        (("[memory]", "[memory"), "mine.toml"),
    ],
)
def test_a_wrong_figure_is_named_with_its_file(change: tuple[str, str], words: str) -> None:
    text = sarathi_profiles.read("a100/yi-34b-tp2").decode()

    with pytest.raises(ConfigError, match=words):
        parse_profile(text.replace(*change), "mine.toml")


def test_tables_are_straight_between_knots_flat_before_and_go_on_behind() -> None:
    table = ((10.0, 5.0), (20.0, 7.0), (40.0, 17.0))

    assert [interpolate(table, x) for x in (1, 10, 15, 30, 40, 60)] == [5.0, 5.0, 6.0, 12.0, 17.0, 27.0]


def profile_of_round_figures() -> CostProfile:
    """Four layers over two stages, every cost a round number of microseconds."""
    text = """
        [provenance]
        source = "made up"
        date = "2024-01-01"
        derivation = "none"
        [shape]
        device = "none"
        model = "round"
        tensor_parallel = 2
        pipeline_parallel = 2
        num_layers = 4
        hidden_bytes_per_token = 100
        [memory]
        device_bytes = 10000
        utilization = 0.5
        weight_bytes = 1000
        activation_bytes = 800
        kv_bytes_per_token = 10
        [overhead]
        fixed_us = 1000.0
        us_per_sequence = 10.0
        [linear]
        floor_us = 50.0
        base_us = 20.0
        us_per_token = 2.0
        tile = 8
        elementwise_base_us = 3.0
        elementwise_us_per_token = 0.5
        [prefill_attention]
        base_us = 4.0
        us_per_pair = 0.1
        saturation_tokens = 10.0
        diagonal = 0.5
        tile = 4
        [decode_attention]
        base_us = 6.0
        us_per_context_token = 0.25
        us_per_sequence = 1.0
        [output_head]
        floor_us = 7.0
        us_per_row = 5.0
        [all_reduce]
        num_per_layer = 2
        launch_us = 20.0
        table = [[0.0, 10.0], [10000.0, 110.0]]
        [send_recv]
        table = [[0.0, 30.0], [10000.0, 130.0]]
    """
    return parse_profile(text, "round.toml")


def test_a_stage_costs_the_sum_of_its_parts() -> None:
    model = IterationCostModel(profile_of_round_figures())
    features = IterationFeatures(2, 40, (ChunkShape(18, 100),))

    linear_us = (20 + 2 * 24) + 3 + 0.5 * 20  # 20 tokens fill three tiles of 8
    reduces_us = 2 * ((10 + 0.01 * 2000) + 20)
    prefill_us = 4 + 0.1 * 20 * (100 + 0.5 * 18)  # 18 rows fill five tiles of 4
    decode_us = 6 + 0.25 * 40 + 1.0 * 2
    stage_us = 1000 + 10 * 3 + 2 * (linear_us + reduces_us + prefill_us + decode_us)

    assert model.stage_seconds(features) == pytest.approx(((stage_us + 50) * 1e-6, (stage_us + 15) * 1e-6))
    assert model.predict(features) == pytest.approx((2 * stage_us + 65) * 1e-6)


def test_the_first_stage_embeds_and_longer_stages_take_longer() -> None:
    even = profile_of_round_figures()
    uneven = msgspec.structs.replace(
        even,
        shape=msgspec.structs.replace(even.shape, num_layers=5),
        embedding=Embedding(base_us=100.0, us_per_token=2.0),
    )
    features = IterationFeatures(2, 40, (ChunkShape(18, 100),))
    first_s, last_s = IterationCostModel(even).stage_seconds(features)
    layer_s = (last_s - (1000 + 10 * 3 + 15) * 1e-6) / 2

    assert IterationCostModel(uneven).stage_seconds(features) == pytest.approx((first_s + layer_s + 140e-6, last_s))
    assert IterationCostModel(uneven).predict(features) == pytest.approx(first_s + layer_s + 140e-6 + last_s)


@pytest.mark.parametrize("text", ["a = " + "[" * 50_000, "a = " + "9" * 5_000, b"\xff"])
def test_what_no_reader_can_hold_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        parse_profile(text, "mine.toml")


def test_more_stages_than_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match="pipeline_parallel is at most num_layers"):
        parse_profile(to_toml(profile_of_round_figures()).replace("num_layers = 4", "num_layers = 1"), "mine.toml")


def test_an_empty_iteration_costs_nothing() -> None:
    assert IterationCostModel(profile_of_round_figures()).predict(IterationFeatures(0, 0)) == 0.0


def test_memory_says_how_many_blocks_there_are() -> None:
    assert profile_of_round_figures().num_blocks(16) == (5000 - 1000 - 800) // 160


@pytest.mark.parametrize("name", ["cpu/smollm2-135m-tp1", "cpu/of-my-own-tp1"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00garbage", b"[provenance]\n", b"a = " + b"[" * 5_000])
def test_a_users_profile_that_is_damaged_is_passed_over_and_told_of(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shipped = find_profile(name) if name in sarathi_profiles.available() else None
    profile_path(name).parent.mkdir(parents=True)
    profile_path(name).write_bytes(content)

    assert profile_if_any(name) == shipped
    assert f"the cost profile {name} is not used" in caplog.text
