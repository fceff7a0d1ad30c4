"""Text of a stream's tokens, one at a time, some of them parts of a character."""

from collections.abc import Sequence
from functools import partial

from sarathid.server.detokenizer import IncrementalDetokenizer
from tests.bench.hot_paths.hot_path import HotPath, Operations
from tests.server.byte_tokenizer import make_tokenizer, token_ids

NUM_TOKENS = 64


def detokenize() -> Operations:
    tokenizer = make_tokenizer()
    stream = token_ids("Four score and seven years ago – that is 87 – our fathers brought forth")[:NUM_TOKENS]
    try:
        while True:
            yield partial(_add_all, tokenizer.detokenizer(), stream)
    finally:
        tokenizer.close()


def _add_all(detokenizer: IncrementalDetokenizer, stream: Sequence[int]) -> None:
    for token_id in stream:
        detokenizer.add(token_id)


DETOKENIZING = (HotPath("detokenize 64 tokens of a stream", detokenize),)
