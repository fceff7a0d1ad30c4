import asyncio

from sarathid.protocol.requests import FinishReason, SamplingParams
from sarathid.protocol.stats import RequestStats, StreamRecord
from sarathid.server.answer_text import TextDelta
from sarathid.server.generation import Generation
from tests.server.byte_tokenizer import EOS, make_tokenizer, token_ids
from tests.server.scripted_engine import scripted_engine


async def texts_of(generation: Generation) -> list[TextDelta]:
    """Wait for all that comes."""
    texts, news = list[TextDelta](), asyncio.Event()
    generation.listen(news.set)
    while not texts or texts[-1].finish_reason is None:
        await news.wait()
        news.clear()
        while (delta := generation.take()) is not None:
            texts.append(delta)
    return texts


def generate(
    script: str, *, max_tokens: int | None = None, stops: tuple[str, ...] = (), min_tokens: int = 0
) -> tuple[list[TextDelta], RequestStats]:
    """Return what a client gets of a script, and the request's record."""
    ended: asyncio.Queue[RequestStats] = asyncio.Queue()

    def observe(record: StreamRecord) -> None:
        if isinstance(record, RequestStats):
            ended.put_nowait(record)

    async def main() -> tuple[list[TextDelta], RequestStats]:
        async with scripted_engine(script) as engine:
            engine.subscribe(observe)
            stream = engine.submit((1, 2, 3), SamplingParams(max_tokens=max_tokens, temperature=0.0))
            generation = Generation(stream, make_tokenizer().detokenizer(), stops, min_tokens=min_tokens)
            deltas = await texts_of(generation)
            generation.close()
            return deltas, await ended.get()

    return asyncio.run(main())


def test_text_comes_a_token_at_a_time_and_ends_with_a_reason() -> None:
    deltas, stats = generate("abc")

    assert deltas == [
        TextDelta("a", token_ids("a"), None),
        TextDelta("b", token_ids("b"), None),
        TextDelta("c", token_ids("c"), None),
        TextDelta("", (EOS,), FinishReason.STOP),
    ]
    assert stats.num_output_tokens == 4


def test_a_character_of_four_tokens_is_one_delta() -> None:
    deltas, _ = generate("a😀", max_tokens=5)

    assert deltas == [
        TextDelta("a", token_ids("a"), None),
        TextDelta("😀", token_ids("😀"), FinishReason.LENGTH),
    ]


def test_a_stop_string_ends_the_request_in_the_engine_too() -> None:
    deltas, stats = generate("one STOP and a very long rest " * 10, stops=("STOP",))

    assert "".join(delta.text for delta in deltas) == "one "
    assert deltas[-1].finish_reason is FinishReason.STOP
    assert stats.finish_reason is FinishReason.STOP
    assert stats.num_output_tokens < 300


def test_no_stop_string_begins_in_the_least_tokens_that_were_asked_for() -> None:
    deltas, _ = generate("aXbXcXd", stops=("X",), min_tokens=3)

    assert "".join(delta.text for delta in deltas) == "aXb"
    assert deltas[-1].finish_reason is FinishReason.STOP


def test_what_looked_like_a_stop_string_is_shown_at_the_end() -> None:
    deltas, _ = generate("one STO", max_tokens=7, stops=("STOP",))

    assert "".join(delta.text for delta in deltas) == "one STO"
    assert deltas[-1].finish_reason is FinishReason.LENGTH
