"""A tokenizer whose tokens are the 256 bytes, so that any character may be split, and two special tokens."""

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from sarathid.server.chat_template import ChatTemplate
from sarathid.server.tokenizer import Tokenizer

NUM_BYTES = 256
EOS = 256
VOCAB_SIZE = 258

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system messages') }}"
    "{% endif %}<{{ message.role }}>{{ message.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def make_backend() -> tokenizers.Tokenizer:
    """Return a byte-level tokenizer without merges; token id n is byte n."""
    vocabulary = {_letter_of(byte): byte for byte in range(NUM_BYTES)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<eos>", special=True), AddedToken("<pad>", special=True)])
    return backend


def make_tokenizer(chat_template: str | None = CHAT_TEMPLATE) -> Tokenizer:
    """Return the tokenizer of the server over the byte tokens."""
    template = None if chat_template is None else ChatTemplate(chat_template, {"eos_token": "<eos>"})
    return Tokenizer(make_backend(), template)


def token_ids(text: str) -> tuple[int, ...]:
    """Return the tokens of a text: its bytes."""
    return tuple(text.encode())


def _letter_of(byte: int) -> str:
    """Return the character that stands for a byte in byte-level vocabularies (GPT-2's table)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    if byte in visible:
        return chr(byte)
    return chr(NUM_BYTES + [other for other in range(NUM_BYTES) if other not in visible].index(byte))
