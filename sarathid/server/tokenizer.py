"""The model's tokenizer as servers use it: long texts never hold up the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, TypeVar

import tokenizers

from sarathid.errors import RequestRefused
from sarathid.models.model_config import ModelConfig
from sarathid.models.model_files import ModelFiles
from sarathid.server.chat_template import AS_USUAL, ChatTemplate, Rendering
from sarathid.server.detokenizer import IncrementalDetokenizer
from sarathid.server.token_words import TokenWords

NUM_THREADS = 2
MAX_TOKENS_REMEMBERED = 1 << 13  # most of what a text is made of, in a megabyte

T = TypeVar("T")


class Tokenizer:
    """Encodes prompts in a small pool of threads, and decodes tokens where it is called."""

    def __init__(self, backend: tokenizers.Tokenizer, chat_template: ChatTemplate | None) -> None:
        self._backend = backend
        self._decode: Callable[[Sequence[int]], str] = partial(backend.decode, skip_special_tokens=True)
        self._chat_template = chat_template
        self.words = TokenWords(backend)
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="tokenizer")
        self._decode_one = lru_cache(MAX_TOKENS_REMEMBERED)(lambda token_id: self._decode((token_id,)))

    async def encode(self, text: str, *, add_special_tokens: bool = True) -> tuple[int, ...]:
        """Return the token ids of a text, by default with the special tokens that the model puts around one."""
        return await self._in_thread(lambda: self.encode_here(text, add_special_tokens=add_special_tokens))

    async def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], rendering: Rendering = AS_USUAL
    ) -> tuple[int, ...]:
        """Return the token ids of a conversation under the model's chat template.

        Raises `RequestRefused` when the model has no template or the template refuses the messages.
        """
        return await self._in_thread(lambda: self.encode_chat_here(messages, rendering))

    def encode_here(self, text: str, *, add_special_tokens: bool = True) -> tuple[int, ...]:
        """Return what `encode` does, in the caller's thread."""
        # The batch call lets go of the interpreter's lock while it works; the single one holds it.
        (encoding,) = self._backend.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        return tuple(encoding.ids)

    def encode_chat_here(
        self, messages: Sequence[Mapping[str, Any]], rendering: Rendering = AS_USUAL
    ) -> tuple[int, ...]:
        """Return what `encode_chat` does, and raise what it does, in the caller's thread."""
        if self._chat_template is None:
            raise RequestRefused(
                "this model has no chat template; use /v1/completions, or generate() offline", "messages"
            )
        return self.encode_here(self._chat_template.render(messages, rendering), add_special_tokens=False)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of tokens, special tokens left out."""
        return self._decode(token_ids)

    async def decode_long(self, token_ids: Sequence[int]) -> str:
        """Return the text of many tokens, special tokens by their names."""
        return await self._in_thread(lambda: self._backend.decode(token_ids, skip_special_tokens=False))

    def detokenizer(self) -> IncrementalDetokenizer:
        """Return a new detokenizer for one request's tokens."""
        is_of_bytes = isinstance(self._backend.decoder, tokenizers.decoders.ByteLevel)
        return IncrementalDetokenizer(self._decode, self._decode_one, adds_up=is_of_bytes)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def load_tokenizer(files: ModelFiles) -> Tokenizer:
    """Return the tokenizer of a model, with its chat template if it has one.

    Raises `ModelRefused` when one of them is broken.
    """
    backend = files.tokenizer
    if files.chat_template is None:
        return Tokenizer(backend, None)
    return Tokenizer(backend, ChatTemplate(files.chat_template, _special_tokens(files.config, backend)))


def _special_tokens(config: ModelConfig, backend: tokenizers.Tokenizer) -> dict[str, str]:
    """Return `bos_token` and `eos_token` as templates want them, where the model has them."""
    token_ids = {"bos_token": config.bos_token_id, "eos_token": min(config.eos_token_ids, default=None)}
    return {
        name: token
        for name, token_id in token_ids.items()
        if token_id is not None and (token := backend.id_to_token(token_id)) is not None
    }
