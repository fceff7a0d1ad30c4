from hypothesis import given
from hypothesis import strategies as st

from sarathid.server.stop_strings import StopStrings


def test_a_stop_string_across_pieces_is_cut_with_all_behind_it() -> None:
    stops = StopStrings(["END"])

    assert [stops.feed(piece) for piece in ("one E", "N", "D two", "three")] == ["one ", "", "", ""]
    assert stops.is_stopped
    assert stops.flush() == ""


def test_a_partial_match_that_comes_to_nothing_is_let_out() -> None:
    stops = StopStrings(["END"])

    assert [stops.feed(piece) for piece in ("E", "N", "Q")] == ["", "", "ENQ"]
    assert not stops.is_stopped


def test_what_is_held_back_comes_out_at_the_end() -> None:
    stops = StopStrings(["END"])

    assert stops.feed("the EN") == "the "
    assert stops.flush() == "EN"


def test_a_stop_string_that_is_to_be_shown_ends_the_text() -> None:
    stops = StopStrings(["END", "EN"], are_shown=True)

    assert [stops.feed(piece) for piece in ("one E", "ND two", "three")] == ["one ", "EN", ""]
    assert stops.is_stopped


def test_the_stop_string_that_begins_first_wins() -> None:
    assert StopStrings(["c", "bcd"]).feed("abcd") == "a"


def test_without_stop_strings_nothing_is_held_back() -> None:
    assert StopStrings([]).feed("abc") == "abc"


@given(
    st.lists(st.text("ab", max_size=4), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4),
)
def test_the_text_is_cut_at_the_first_stop_however_it_is_cut_into_pieces(pieces: list[str], stops: list[str]) -> None:
    matcher = StopStrings(stops)
    shown = "".join(matcher.feed(piece) for piece in pieces) + matcher.flush()

    whole = "".join(pieces)
    # A stop is seen as soon as it is complete; one that begins earlier but is complete later comes too late.
    ends = [(whole.find(stop) + len(stop), whole.find(stop)) for stop in stops if stop in whole]
    if not ends:
        assert shown == whole
        assert not matcher.is_stopped
    else:
        assert matcher.is_stopped
        assert shown in {whole[:start] for _, start in ends}
        assert not any(stop in shown for stop in stops)
