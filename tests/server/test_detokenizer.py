from collections.abc import Iterable

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from sarathid.server.detokenizer import REPLACEMENT, IncrementalDetokenizer
from tests.server.byte_tokenizer import EOS, NUM_BYTES, VOCAB_SIZE, make_backend, token_ids

BACKEND = make_backend()
TEXT_ENDS_INSIDE = (b"\xf0\x9f", b"\x98", b"\x80 x", b"\xa9\xf0", b"\xc3", b"b\xe2\x82")
TEXT_IS_WHOLE = (b"a", b" the", "é".encode(), REPLACEMENT.encode())


def decode(ids: Iterable[int]) -> str:
    text: str = BACKEND.decode(list(ids), skip_special_tokens=True)
    return text


def pieces(ids: Iterable[int], backend: tokenizers.Tokenizer = BACKEND, *, adds_up: bool = True) -> list[str]:
    detokenizer = IncrementalDetokenizer(backend.decode, lambda one: str(backend.decode([one])), adds_up=adds_up)
    return [*(detokenizer.add(token_id) for token_id in ids), detokenizer.flush()]


def backend_of(tokens: Iterable[bytes]) -> tokenizers.Tokenizer:
    """Return a byte-level tokenizer with these tokens, and behind them one that has no text."""
    letters = [BACKEND.id_to_token(byte) or "" for byte in range(NUM_BYTES)]
    names = ["".join([letters[byte] for byte in token]) for token in tokens]
    vocabulary = {name: token_id for token_id, name in enumerate(names)}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens([tokenizers.AddedToken("<eos>", special=True)])
    return backend


OF_LONG_TOKENS = backend_of((*TEXT_ENDS_INSIDE, *TEXT_IS_WHOLE))


def test_each_ascii_token_gives_its_character_at_once() -> None:
    assert pieces(token_ids("abc")) == ["a", "b", "c", ""]


@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_a_character_comes_out_whole_with_its_last_byte(character: str) -> None:
    *before, last, flushed = pieces(token_ids(character))

    assert before == [""] * (len(character.encode()) - 1)
    assert last == character
    assert flushed == ""


def test_a_text_that_ends_inside_a_character_ends_with_a_replacement() -> None:
    assert pieces(token_ids("a😀")[:3]) == ["a", "", "", REPLACEMENT]


def test_special_tokens_have_no_text() -> None:
    assert pieces([*token_ids("a"), EOS, *token_ids("b")]) == ["a", "", "b", ""]


@given(st.text(max_size=40))
def test_no_piece_of_a_text_holds_half_a_character(text: str) -> None:
    found = pieces(token_ids(text))

    assert "".join(found) == text
    assert all(piece in text for piece in found)


@settings(max_examples=300)
@given(st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=80))
def test_the_pieces_of_any_tokens_are_the_text_of_all(ids: list[int]) -> None:
    assert "".join(pieces(ids)) == decode(ids)


@settings(max_examples=300)
@given(st.lists(st.integers(0, OF_LONG_TOKENS.get_vocab_size() - 1), max_size=30))
def test_tokens_that_add_up_give_the_pieces_that_their_windows_give(ids: list[int]) -> None:
    assert pieces(ids, OF_LONG_TOKENS) == pieces(ids, OF_LONG_TOKENS, adds_up=False)


@given(st.lists(st.integers(0x80, NUM_BYTES - 1), min_size=60, max_size=120))
def test_a_flood_of_broken_bytes_is_let_out_in_bounded_memory(ids: list[int]) -> None:
    longest = 0

    def measured(window: Iterable[int]) -> str:
        nonlocal longest
        longest = max(longest, len(list(window)))
        return decode(window)

    detokenizer = IncrementalDetokenizer(measured, lambda token_id: measured([token_id]), adds_up=True)
    text = "".join(detokenizer.add(token_id) for token_id in ids) + detokenizer.flush()

    assert text == decode(ids)
    assert longest < 40
