import asyncio

import pytest

from sarathid.errors import RequestRefused
from tests.server.byte_tokenizer import EOS, make_tokenizer, token_ids


def test_a_text_becomes_its_tokens() -> None:
    assert asyncio.run(make_tokenizer().encode("héllo")) == token_ids("héllo")


def test_a_conversation_becomes_the_tokens_of_its_template() -> None:
    ids = asyncio.run(make_tokenizer().encode_chat([{"role": "user", "content": "hi"}]))

    assert ids == (*token_ids("<user>hi"), EOS, *token_ids("<assistant>"))


def test_a_model_without_a_template_refuses_conversations() -> None:
    with pytest.raises(RequestRefused, match="/v1/completions"):
        asyncio.run(make_tokenizer(chat_template=None).encode_chat([{"role": "user", "content": "hi"}]))


def test_the_event_loop_goes_on_while_a_long_text_is_encoded() -> None:
    async def count_turns() -> int:
        num_turns = 0
        encoding = asyncio.ensure_future(make_tokenizer().encode("long " * 100_000))
        while not encoding.done():
            num_turns += 1
            await asyncio.sleep(0)
        assert len(await encoding) == 500_000
        return num_turns

    assert asyncio.run(count_turns()) > 10
