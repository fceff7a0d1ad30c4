from sarathictl.selftest.check import Check, SelfTestReport, all_of, describe, none_of


def test_a_report_is_right_when_all_that_must_hold_does() -> None:
    figure, held, broken = Check("gap", "3 ms"), all_of("answered", 2, 2), all_of("answered", 1, 2)

    assert SelfTestReport(seed=1, checks=(figure, held)).is_right
    assert not SelfTestReport(seed=1, checks=(figure, held, broken)).is_right


def test_each_check_is_a_line_that_begins_with_its_verdict() -> None:
    checks = (Check("gap", "3 ms"), all_of("answered", 1000, 1000), none_of("wrong", ["b", "a", "b"]))

    assert describe(SelfTestReport(seed=1, checks=checks)).splitlines() == [
        "        gap: 3 ms",
        "ok      answered: 1,000 of 1,000",
        "FAILED  wrong: b; a",
    ]


def test_of_nothing_found_none_is_told() -> None:
    assert none_of("wrong", []) == Check("wrong", "none", True)
