"""The engine without a daemon: answers to many prompts at once, computed in the caller's process."""

import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack

from sarathid.config import DEFAULT_MODEL, EngineConfig, build
from sarathid.engine.loaded_engine import LoadedEngine, load_engine
from sarathid.engine.request_check import check_request
from sarathid.engine.token_stream import StreamTiming
from sarathid.errors import EngineFailed, RequestRefused
from sarathid.models.model_files import resolve
from sarathid.protocol.logprobs import TokenLogprobs
from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.stats import RequestStats
from sarathid.protocol.step import StepOutput, TokenDelta
from sarathid.server.answer_text import AnswerText
from sarathid.server.openai.grammars import compiled, schema_of
from sarathid.server.openai.sampling import sampling_params
from sarathid.server.openai.schema import MAX_BODY_BYTES, ChatRequest, CompletionRequest, request_of
from sarathid.server.tokenizer import load_tokenizer

MAX_PROMPTS = 1 << 16
DEFAULT_TOKEN_BUDGET = 512

Prompt: TypeAlias = str | Sequence[int]
Conversation: TypeAlias = Sequence[Mapping[str, Any]]


class SamplingOptions(TypedDict, total=False):
    """How answers are drawn: fields of `POST /v1/completions`, with its meanings, bounds and defaults.

    `logprobs` tells of each token how likely it and so many others were. Prompts that share a `seed` are drawn alike;
    without one each gets its own.
    """

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    stop: str | Sequence[str]
    stop_token_ids: Sequence[int]
    include_stop_str_in_output: bool
    ignore_eos: bool
    min_tokens: int
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    logit_bias: Mapping[int, float]
    logprobs: int
    response_format: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The answer to one prompt.

    `token_ids` end with the end of sequence or stop token that ended the text, if one did. Of the prompt,
    `num_cached_tokens` needed not be computed. In `timing` are seconds, from the call that asked for it on.
    """

    prompt_token_ids: tuple[int, ...]
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    timing: StreamTiming
    num_cached_tokens: int
    logprobs: tuple[TokenLogprobs, ...] = ()


class LLM:
    """A model in this process, on one device; a context manager, for one call at a time.

    It is the daemon's engine, and says what that says: prompts are computed in chunks of at most `token_budget` tokens
    beside the answers under way, and what they begin with in common once. On a CPU it takes `num_threads` threads, all
    cores by default, and sets so many for all that uses torch in this process. A call that was broken off, by ^C say,
    closes it.

    Raises `ConfigError` for a setting that can't be, `ModelRefused` for a model or memory that can't.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        dtype: str = "auto",
        load_format: Literal["auto", "dummy"] = "auto",
        quantize: Literal["auto", "off", "int8", "int4"] = "auto",
        kv_dtype: Literal["auto", "float32", "float16"] = "auto",
        cuda_graphs: Literal["auto", "on", "off"] = "auto",
        attention_backend: str = "auto",
        max_model_len: int | None = None,
        max_num_seqs: int = 128,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        kv_memory_bytes: int | None = None,
        block_size: int | None = None,
        num_threads: int | None = None,
        prefix_cache: bool = True,
    ) -> None:
        """Load the model: a directory, a .gguf file or a name that `sarathid models list` shows, fetched if need be.

        The settings are those of `sarathid serve` by their names; None is what suits the model and the device.
        """
        config: EngineConfig = build(
            EngineConfig,
            {
                "model": model,
                "device": device,
                "dtype": dtype,
                "load_format": load_format,
                "quantize": quantize,
                "kv_dtype": kv_dtype,
                "cuda_graphs": cuda_graphs,
                "attention_backend": attention_backend,
                "max_model_len": max_model_len,
                "max_num_seqs": max_num_seqs,
                "token_budget": token_budget,
                "min_token_budget": 1,
                "kv_memory_bytes": kv_memory_bytes,
                "block_size": block_size,
                "num_threads": num_threads,
                "prefix_cache": prefix_cache,
                "slo_tbt": None,  # nobody reads along
            },
        )
        self._tokenizer = load_tokenizer(resolve(config.model))
        self._engine: LoadedEngine | None = load_engine(config)
        self._request_ids = count(1)
        self._seeds = random.Random()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def max_model_len(self) -> int:
        """The most tokens of a prompt and its answer together."""
        return self._open_engine().info.max_model_len

    def close(self) -> None:
        """Let go of the model and its memory. Safe to call twice."""
        engine, self._engine = self._engine, None
        self._tokenizer.close()
        if engine is not None:
            engine.executor.close()

    def generate(
        self,
        prompts: str | Sequence[Prompt],
        *,
        priorities: Sequence[int] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> list[Output]:
        """Return the continuations of one text, or of several texts or lists of token ids, in their order.

        Of `priorities`, one a prompt from -10 (first) to 10, a step weighs as much as 32 prompts before. Raises
        `RequestRefused`, before anything is computed, when a prompt or an option can't be.
        """
        return self._answer([prompts] if isinstance(prompts, str) else prompts, priorities, options)

    def chat(self, messages: Conversation | Sequence[Conversation], **options: Unpack[SamplingOptions]) -> list[Output]:
        """Return the assistant's next words in one conversation or in several, as long as there is room by default.

        A message has a `role` and a `content`. Raises `RequestRefused` as `generate` does, or when the model has no
        chat template.
        """
        conversations = [messages] if _is_conversation(messages) else messages
        if options.get("max_tokens") is None:
            options["max_tokens"] = self.max_model_len
        return self._answer([self._chat_prompt(each) for each in conversations], None, options)

    def _chat_prompt(self, messages: object) -> tuple[int, ...]:
        asked = request_of({"messages": messages}, ChatRequest)
        return self._tokenizer.encode_chat_here([message.for_template() for message in asked.messages])

    def _answer(
        self, prompts: Sequence[Prompt], priorities: Sequence[int] | None, options: SamplingOptions
    ) -> list[Output]:
        if not 0 < len(prompts) <= MAX_PROMPTS:
            raise RequestRefused(f"there are {len(prompts)} prompts; give 1 to {MAX_PROMPTS} at a time", "prompts")
        if priorities is None:
            priorities = [0] * len(prompts)
        if len(priorities) != len(prompts):
            raise RequestRefused(f"{len(prompts)} prompts have {len(priorities)} priorities", "priorities")
        with self._lock:
            engine = self._open_engine()
            answers = [
                self._asked(engine, prompt, priority, options)
                for prompt, priority in zip(prompts, priorities, strict=True)
            ]
            try:
                _run(engine, answers)
            except BaseException:
                self.close()  # what was under way is lost, and what the engine has of it too
                raise
        return [answer.output() for answer in answers]

    def _asked(self, engine: LoadedEngine, prompt: Prompt, priority: int, options: SamplingOptions) -> "_Answer":
        """Return what is to be answered, all of it checked."""
        body = _completion(prompt, priority, options)
        (given,) = body.prompts
        schema = schema_of(body.response_format)
        request = Request(
            request_id=next(self._request_ids),
            prompt_token_ids=self._tokenizer.encode_here(given) if isinstance(given, str) else given,
            sampling=sampling_params(body, self._seeds, None if schema is None else compiled(schema)),
            arrival_s=time.monotonic(),
            priority=body.priority,
        )
        check_request(engine.info, request.prompt_token_ids, request.sampling)
        text = AnswerText(
            self._tokenizer.detokenizer(),
            body.stop_strings,
            includes_stop=body.include_stop_str_in_output,
            min_tokens=body.min_tokens,
        )
        return _Answer(request, text)

    def _open_engine(self) -> LoadedEngine:
        if self._engine is None:
            raise EngineFailed("this LLM is closed; make another one")
        return self._engine


@dataclass(slots=True)
class _Answer:
    """One of them under way."""

    request: Request
    text: AnswerText
    pieces: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stats: RequestStats | None = None

    def take(self, token: TokenDelta) -> None:
        """Take in news of the engine; those behind its end say nothing more."""
        if self.finish_reason is None:
            delta = self.text.advance(token)
            self.text.mark_sent()
            self.pieces.append(delta.text)
            self.token_ids += delta.token_ids
            self.logprobs += delta.logprobs
            self.finish_reason = delta.finish_reason

    def output(self) -> Output:
        stats = self.stats
        assert stats is not None and self.finish_reason is not None, "it has ended"
        return Output(
            prompt_token_ids=self.request.prompt_token_ids,
            text="".join(self.pieces),
            token_ids=tuple(self.token_ids),
            finish_reason=self.finish_reason,
            timing=StreamTiming(stats.ttft_s, stats.tbt_p50_s, stats.tbt_max_s, stats.num_stalls),
            num_cached_tokens=stats.num_cached_tokens,
            logprobs=tuple(self.logprobs),
        )


def _run(engine: LoadedEngine, answers: Iterable[_Answer]) -> None:
    """Have the engine work until all answers have ended."""
    under_way = {answer.request.request_id: answer for answer in answers}
    for answer in under_way.values():
        engine.core.add(answer.request)
    while engine.core.has_work:
        output = engine.core.step()
        assert output is not None, "no target holds anybody back, so that somebody can always run"
        _take(output, under_way)
        for request_id in [delta.request_id for delta in output.deltas]:
            if under_way[request_id].text.is_stopped and (
                cancelled := engine.core.cancel(request_id, FinishReason.STOP)
            ):
                _take(cancelled, under_way)


def _take(output: StepOutput, under_way: Mapping[int, _Answer]) -> None:
    for delta in output.deltas:
        under_way[delta.request_id].take(delta)
    for stats in output.finished:
        under_way[stats.request_id].stats = stats


def _completion(prompt: Prompt, priority: int, options: SamplingOptions) -> CompletionRequest:
    """Return the body that asks a daemon the same; raises `RequestRefused` when there can be none."""
    for name in options.keys() - SamplingOptions.__annotations__.keys():
        raise RequestRefused(f"there is no option {name!r}; leave it out", name)
    if len(prompt) > MAX_BODY_BYTES:
        raise RequestRefused(f"a prompt is longer than the {MAX_BODY_BYTES} characters allowed", "prompts")
    if not isinstance(prompt, str) and not all(isinstance(token_id, int) for token_id in prompt):
        raise RequestRefused("a prompt is a text or a list of token ids", "prompts")
    if not prompt:
        raise RequestRefused("a prompt is empty; give at least one token", "prompts")
    given = {name: value for name, value in options.items() if value is not None}
    body = request_of({"prompt": prompt, "priority": priority, **given}, CompletionRequest)
    if body.token_limit == 0:
        raise RequestRefused("max_tokens must be at least 1", "max_tokens")
    return body


def _is_conversation(messages: Conversation | Sequence[Conversation]) -> bool:
    return all(isinstance(message, Mapping) for message in messages)
