"""The table that compares settings, on figures written by hand."""

import msgspec

from sarathictl.bench.load import InterferencePlan
from sarathictl.bench.measurement import Distribution, Measurement, Setting
from sarathictl.bench.report import describe
from sarathictl.bench.run_files import MachineFacts, Summary
from tests.sarathictl.records import make_info

MACHINE = MachineFacts(
    started_at="2026-11-22T22:41:00+00:00",
    cpu="some processor",
    num_cores=2,
    load_average=0.1,
    system="Linux 6",
    python="3.11.7",
    version="0.1.0",
)


def make_measurement(setting: Setting, *, tbt_max_s: float, num_stalls: int, tokens_per_s: float) -> Measurement:
    return Measurement(
        setting=setting,
        num_phases=1,
        duration_s=60.0,
        tbt=Distribution(1000, 0.070, 0.2, tbt_max_s),
        ttft=Distribution(0, None, None, None),
        num_stalls=num_stalls,
        stream_tokens_per_s=50.0,
        tokens_per_s=tokens_per_s,
        failures=(),
    )


PREFILL_FIRST = make_measurement(Setting("prefill-first"), tbt_max_s=5.2, num_stalls=48, tokens_per_s=300.0)
STALL_FREE = make_measurement(Setting("stall-free", 128), tbt_max_s=0.26, num_stalls=0, tokens_per_s=291.0)


def make_summary(*measurements: Measurement, num_records_lost: int = 0) -> Summary:
    return Summary(
        machine=MACHINE,
        engine=make_info(),
        target_s=0.35,
        plan=InterferencePlan(),
        measurements=measurements,
        num_records_lost=num_records_lost,
    )


def test_two_settings_are_put_side_by_side() -> None:
    assert describe(make_summary(PREFILL_FIRST, STALL_FREE)) == (
        "8 streams decode while a prompt of 2000 tokens arrives every 10 s; 60 s a column; TBT target 350 ms\n"
        "\n"
        "                                          prefill-first  stall-free:128\n"
        "streams: time between tokens, P50                 70 ms           70 ms         same\n"
        "streams: time between tokens, P99                200 ms          200 ms         same\n"
        "streams: time between tokens, max                 5.2 s          260 ms   20.0x less\n"
        "streams: stalls (gaps above target)                  48               0\n"
        "prompts: time to first token, P50                     —               —\n"
        "prompts: time to first token, max                     —               —\n"
        "stream tokens/s                                    50.0            50.0        +0.0%\n"
        "all tokens/s, prefill and decode                  300.0           291.0        -3.0%\n"
        "failed requests                                       0               0"
    )


def test_one_setting_is_compared_with_nothing() -> None:
    lines = describe(make_summary(STALL_FREE)).splitlines()

    assert lines[5] == f"{'streams: time between tokens, max':<40}{'260 ms':>16}"


def test_lost_records_are_said() -> None:
    text = describe(make_summary(STALL_FREE, num_records_lost=3))

    assert text.endswith("3 records of the stats stream were lost: all tokens/s is too low")


def test_a_summary_can_be_written_and_read_as_json() -> None:
    written = msgspec.json.decode(msgspec.json.encode(make_summary(PREFILL_FIRST, STALL_FREE)))

    assert written["machine"]["num_cores"] == 2
    assert written["plan"]["num_prompt_tokens"] == 2000
    assert [found["num_stalls"] for found in written["measurements"]] == [48, 0]
