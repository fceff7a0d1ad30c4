"""The engine in process, on a tiny model whose words are the numbers of its tokens."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sarathid import LLM, Output
from sarathid.errors import ConfigError, EngineFailed, RequestRefused, SarathiError
from sarathid.protocol.requests import FinishReason
from sarathid.server.openai.schema import CompletionRequest
from tests.models.tiny import MAX_POSITIONS, VOCAB_SIZE, save_speaking_model

CHAT_TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}7"


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = save_speaking_model(tmp_path_factory.mktemp("models") / "tiny")
    (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return str(directory)


def make_llm(model: str, **settings: Any) -> LLM:
    return LLM(model, **{"num_threads": 1, "kv_memory_bytes": 4 << 20, "max_num_seqs": 8, **settings})


@pytest.fixture(scope="module")
def llm(model_path: str) -> Iterator[LLM]:
    with make_llm(model_path) as llm:
        yield llm


def words(output: Output) -> list[int]:
    return [int(word) for word in output.text.split()]


def test_an_answer_has_text_tokens_a_reason_and_times(llm: LLM) -> None:
    (output,) = llm.generate("3 4 5", max_tokens=6, temperature=0, ignore_eos=True)

    assert output.prompt_token_ids == (3, 4, 5)
    assert words(output) == list(output.token_ids)
    assert (len(output.token_ids), output.finish_reason) == (6, FinishReason.LENGTH)
    assert output.timing.ttft_s is not None and output.timing.tbt_p50_s is not None
    assert 0.0 < output.timing.tbt_p50_s <= output.timing.tbt_max_s  # type: ignore[operator]


def test_many_prompts_are_answered_in_their_order_and_as_alone(llm: LLM) -> None:
    prompts = [[number % VOCAB_SIZE] * (1 + 3 * number) for number in range(3, 20)]
    together = llm.generate(prompts, max_tokens=8, temperature=0, ignore_eos=True)
    alone = [llm.generate([prompt], max_tokens=8, temperature=0, ignore_eos=True)[0] for prompt in prompts]

    assert [output.prompt_token_ids for output in together] == [tuple(prompt) for prompt in prompts]
    assert [output.token_ids for output in together] == [output.token_ids for output in alone]


def test_texts_and_token_ids_may_be_mixed(llm: LLM) -> None:
    text, token_ids = llm.generate(["3 4", [3, 4]], max_tokens=3, temperature=0)

    assert text.token_ids == token_ids.token_ids


def test_a_stop_string_ends_its_answer_alone(llm: LLM) -> None:
    (whole,) = llm.generate("9 8 7", max_tokens=12, temperature=0, ignore_eos=True)
    stop = f" {whole.token_ids[4]}"
    cut, other = llm.generate(["9 8 7", "5 5"], max_tokens=12, temperature=0, ignore_eos=True, stop=stop)

    assert cut.finish_reason is FinishReason.STOP
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert len(other.token_ids) == 12 or other.finish_reason is FinishReason.STOP
    assert len(llm.generate("9 8 7", max_tokens=12, temperature=0, ignore_eos=True)[0].token_ids) == 12


def test_a_seed_decides_what_is_drawn(llm: LLM) -> None:
    one, same = llm.generate([[5, 6], [5, 6]], seed=1, max_tokens=20, ignore_eos=True)
    (other,) = llm.generate([[5, 6]], seed=2, max_tokens=20, ignore_eos=True)

    assert one.token_ids == same.token_ids != other.token_ids


def test_logprobs_come_with_every_token(llm: LLM) -> None:
    (output,) = llm.generate("3", max_tokens=4, temperature=0, ignore_eos=True, logprobs=2)

    assert [logprobs.top_token_ids[0] for logprobs in output.logprobs] == list(output.token_ids)


def test_what_prompts_begin_with_is_computed_once(llm: LLM) -> None:
    prompt = [60] * 100
    (first,) = llm.generate([prompt], max_tokens=2, temperature=0)
    (second,) = llm.generate([[*prompt, 12]], max_tokens=2, temperature=0)

    assert first.num_cached_tokens == 0
    assert second.num_cached_tokens == 96


def test_the_first_priority_is_answered_first(model_path: str) -> None:
    with make_llm(model_path, max_num_seqs=1) as llm:
        last, first = llm.generate(["3 4", "5 6"], priorities=[10, -10], max_tokens=4, ignore_eos=True)

    assert first.timing.ttft_s < last.timing.ttft_s  # type: ignore[operator]


def test_a_conversation_goes_through_the_models_template(llm: LLM) -> None:
    (one,) = llm.chat([{"role": "user", "content": "3 4"}], max_tokens=3, temperature=0)
    same, other = llm.chat(
        [[{"role": "user", "content": "3 4"}], [{"role": "user", "content": "5"}]], max_tokens=3, temperature=0
    )

    assert one.prompt_token_ids == (3, 4, 7)
    assert (same.token_ids, other.prompt_token_ids) == (one.token_ids, (5, 7))


def test_a_conversation_may_go_on_to_the_end_of_the_context(llm: LLM) -> None:
    (output,) = llm.chat([{"role": "user", "content": "3 4"}], ignore_eos=True)

    assert len(output.prompt_token_ids) + len(output.token_ids) == llm.max_model_len == MAX_POSITIONS


def test_it_works_where_an_event_loop_runs(llm: LLM) -> None:
    async def main() -> list[Output]:
        return llm.generate("3", max_tokens=2)

    assert len(asyncio.run(main())) == 1


@pytest.mark.parametrize(
    ("prompts", "options", "words"),
    [
        ([], {}, "0 prompts"),
        ([[]], {}, "empty"),
        ([[VOCAB_SIZE]], {}, "outside 0 to"),
        ([[3] * MAX_POSITIONS], {}, "maximum context length"),
        ([["3", "4"]], {}, "text or a list of token ids"),
        ("3", {"n": 2}, "no option 'n'"),
        ("3", {"max_tokens": 0}, "at least 1"),
        ("3", {"temperature": -1}, "temperature"),
        ("3", {"priorities": [1, 2]}, "2 priorities"),
        ("3", {"priorities": [11]}, "priority"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    llm: LLM, prompts: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestRefused, match=words):
        llm.generate(prompts, **options)
    with pytest.raises(RequestRefused, match=words):
        llm.generate(["3 4", *prompts] if prompts and prompts != "3" else prompts, **options)
    assert len(llm.generate("3 4", max_tokens=2, ignore_eos=True)[0].token_ids) == 2


def test_a_closed_one_says_so(model_path: str) -> None:
    llm = make_llm(model_path)
    llm.close()
    llm.close()

    with pytest.raises(EngineFailed, match="closed; make another"):
        llm.generate("3")


@pytest.mark.parametrize(
    ("settings", "words"), [({"max_num_seqs": 0}, "max_num_seqs"), ({"device": "abacus"}, "abacus")]
)
def test_settings_that_cannot_be_are_named(model_path: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SarathiError, match=words):
        make_llm(model_path, **settings)
    with pytest.raises(ConfigError, match="token budget of 9999"):
        make_llm(model_path, token_budget=9999)


def test_its_options_are_fields_of_a_completion() -> None:
    from sarathid.llm import SamplingOptions

    assert SamplingOptions.__annotations__.keys() < set(CompletionRequest.__struct_fields__)
