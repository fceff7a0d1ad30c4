"""Single tokens as text and as bytes, for who asks how likely each was."""

import re

import tokenizers

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class TokenWords:
    """The text of one token by itself, and the bytes that it stands for, which may be half a character's."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self._is_byte_level = "ByteLevel" in str(backend.decoder)
        self._special = set(backend.get_added_tokens_decoder())

    def name(self, token_id: int) -> str:
        """Return what a token is called in the vocabulary; nothing for an id that no token has."""
        return self._backend.id_to_token(token_id) or ""

    def num_chars(self, token_id: int) -> int:
        """Return how many characters of a text begin with a token; none with a special one, which no text shows."""
        if token_id in self._special:
            return 0
        return sum(
            byte & 0b1100_0000 != 0b1000_0000 for byte in self.bytes(token_id)
        )  # each has one lead byte in UTF-8

    def text(self, token_id: int) -> str:
        """Return a token's text, special tokens by their names; replacement characters stand for half characters."""
        return self.bytes(token_id).decode(errors="replace")

    def bytes(self, token_id: int) -> bytes:
        """Return what a token adds to a text; nothing for an id that no token has."""
        piece: str | None = self._backend.id_to_token(token_id)
        if piece is None:
            return b""
        if token_id in self._special:
            return piece.encode()
        if self._is_byte_level:
            return bytes([_BYTE_OF[character] for character in piece if character in _BYTE_OF])
        if match := _BYTE.fullmatch(piece):
            return bytes([int(match[1], 16)])
        return piece.replace("\N{LOWER ONE EIGHTH BLOCK}", " ").encode()


def _bytes_by_letter() -> dict[str, int]:
    """Return the byte that each letter of byte-level vocabularies stands for (GPT-2's table)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTE_OF = _bytes_by_letter()
