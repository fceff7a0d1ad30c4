from sarathictl.state.facts import LABEL_WIDTH, as_text, lay_out


def test_lines_fit_the_width_with_their_label_and_no_number_loses_its_unit() -> None:
    words = "of 4300 tokens 12 were late in 60 s, which is 0.28 % and 412 ms at worst"
    for width in range(LABEL_WIDTH + 20, 90):
        lines = list(lay_out([("late", words)], width))
        assert " ".join(line for _, line in lines) == words
        assert all(LABEL_WIDTH + len(line) <= width for _, line in lines)
        assert [label for label, _ in lines] == ["late"] + [""] * (len(lines) - 1)
        assert not any(line.startswith(("%", "ms", "s,")) for _, line in lines)


def test_text_is_a_line_a_fact_with_labels_in_a_column() -> None:
    assert as_text([("budget", "612"), ("", "more of it")]) == "budget     612\n           more of it"
