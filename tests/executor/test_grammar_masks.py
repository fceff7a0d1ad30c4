"""Answers are kept to their grammars, whatever the logits are."""

import json
from collections.abc import Sequence

import torch
from sarathi_kernels.sampling import NUMPY_ALONE

from sarathid.executor.grammar_masks import GrammarMasks
from sarathid.executor.logprobs import draw
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput
from sarathid.server.openai.grammars import compiled
from tests.executor.no_waits import META, NoWaits
from tests.server.byte_tokenizer import EOS, VOCAB_SIZE, make_backend

SCHEMA = {
    "type": "object",
    "properties": {"word": {"enum": ["stall", "chunk"]}, "number": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["word", "number"],
    "additionalProperties": False,
}


def make_masks() -> GrammarMasks:
    return GrammarMasks(make_backend(), VOCAB_SIZE, frozenset({EOS}))


def make_input(output: Sequence[int], schema: dict[str, object], request_id: int = 1) -> SamplingInput:
    grammar = compiled(json.dumps(schema).encode())
    params = SamplingParams(temperature=1.0, seed=request_id, grammar=grammar, logprobs=0)
    return SamplingInput(
        params=params, num_output_tokens=len(output), request_id=request_id, output_token_ids=tuple(output)
    )


def answer(masks: GrammarMasks, request_id: int, *, forgets: bool = False) -> bytes:
    """Draw from noise until the end; one that forgets follows each token anew, as another engine would."""
    noise = torch.Generator().manual_seed(request_id)
    output: list[int] = []
    for _ in range(200):
        masks = make_masks() if forgets else masks
        logits = torch.randn(1, VOCAB_SIZE, generator=noise)
        (token_id,) = draw(logits, [make_input(output, SCHEMA, request_id)], NUMPY_ALONE, masks).token_ids
        assert token_id is not None
        if token_id == EOS:
            return bytes(output)
        output.append(token_id)
    raise AssertionError("the answer never ended")


def test_whatever_is_drawn_fits_the_schema() -> None:
    masks = make_masks()
    for request_id in range(1, 6):
        found = json.loads(answer(masks, request_id))
        assert set(found) == {"word", "number"}
        assert found["word"] in ("stall", "chunk")
        assert 0 <= found["number"] <= 99


def test_the_host_does_not_wait_for_a_device_whose_logits_it_masks() -> None:
    logits = torch.empty(VOCAB_SIZE, device=META)
    with NoWaits():
        make_masks().forbid(logits, make_input((), SCHEMA))


def test_where_a_request_is_follows_from_its_tokens_alone() -> None:
    assert answer(make_masks(), 3) == answer(make_masks(), 3, forgets=True)


def test_batch_mates_without_a_grammar_are_left_alone() -> None:
    logits = torch.zeros(2, VOCAB_SIZE)
    logits[:, 77] = 9.0
    free = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)
    held, loose = draw(logits, [make_input((), SCHEMA), free], NUMPY_ALONE, make_masks()).token_ids
    assert (held, loose) == (ord("{"), 77)


def test_likelihoods_are_the_models_own_under_a_grammar() -> None:
    (told,) = draw(torch.zeros(1, VOCAB_SIZE), [make_input((), SCHEMA)], NUMPY_ALONE, make_masks()).logprobs
    assert told is not None
    assert abs(told.logprob - float(torch.zeros(VOCAB_SIZE).log_softmax(0)[0])) < 1e-5


def test_an_answer_that_is_not_of_its_grammar_ends_without_a_token() -> None:
    strange = make_input(tuple(b"}}"), SCHEMA)
    assert draw(torch.zeros(1, VOCAB_SIZE), [strange], NUMPY_ALONE, make_masks()).token_ids == (None,)
