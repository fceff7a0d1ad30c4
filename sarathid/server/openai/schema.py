"""The bodies of the OpenAI-compatible API, checked where they enter; what is not supported is refused by name."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sarathid.errors import RequestRefused
from sarathid.protocol.requests import (
    MAX_LOGIT_BIASES,
    MAX_STOP_TOKENS,
    FinishReason,
    NumLogprobs,
    Penalty,
    Priority,
    Probability,
)
from sarathid.server.openai.neutral import NEUTRAL_VALUES, told, told_by_message

MAX_BODY_BYTES = 8 << 20
MAX_STOP_STRINGS = 16
MAX_MESSAGES = 4096
MAX_ANSWERS_PER_PROMPT = 8
MAX_PROMPTS = 128
MAX_PROMPT_TOKENS = 1 << 20
MAX_TEXT_PARTS = 1024
MAX_TEMPLATE_ARGUMENTS = 32
DEFAULT_COMPLETION_TOKENS = 16

StopString: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
TokenId: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
TokenIds: TypeAlias = Annotated[tuple[TokenId, ...], Meta(max_length=MAX_PROMPT_TOKENS)]
Name: TypeAlias = Annotated[str, Meta(max_length=256)]
TemplateArguments: TypeAlias = Annotated[dict[Name, Any], Meta(max_length=MAX_TEMPLATE_ARGUMENTS)]
TokenCount: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream tells beside text: with `include_usage` what was used, at its end.

    With `continuous_usage_stats`, an extension, too, every event tells what was used so far. No padding is sent that
    would hide how long tokens are, and none may be asked for.
    """

    include_usage: bool = False
    include_obfuscation: bool = False
    continuous_usage_stats: bool = False

    def __post_init__(self) -> None:
        if self.include_obfuscation:
            raise ValueError("obfuscation is not supported here; leave out `include_obfuscation`")

    @property
    def tells_usage_so_far(self) -> bool:
        return self.include_usage and self.continuous_usage_stats


class TextFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Any text."""


class JSONObjectFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_object"):
    """One JSON object."""


class JSONSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schema, always followed strictly; its name and description say nothing to the model."""

    name: Annotated[str, Meta(max_length=64)]
    schema: dict[str, Any] = {}
    description: Annotated[str, Meta(max_length=1 << 14)] | None = None
    strict: bool | None = None


class JSONSchemaFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    """One JSON value that a schema describes."""

    json_schema: JSONSchema


ResponseFormat: TypeAlias = TextFormat | JSONObjectFormat | JSONSchemaFormat


class SamplingFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both kinds of request share; `top_k` and everything below it are extensions.

    A `safety_identifier` names the client's user as `user` does, and a `prompt_cache_key` needs nothing done: what
    prompts have in common is found by itself.
    """

    model: Name | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_ANSWERS_PER_PROMPT)] = 1
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: TokenCount | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: StopString | Annotated[tuple[StopString, ...], Meta(max_length=MAX_STOP_STRINGS)] = ()
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: Annotated[
        dict[TokenId, Annotated[float, Meta(ge=-100.0, le=100.0)]], Meta(max_length=MAX_LOGIT_BIASES)
    ] = {}
    user: Annotated[str, Meta(max_length=256)] = ""
    safety_identifier: Annotated[str, Meta(max_length=256)] = ""
    prompt_cache_key: Annotated[str, Meta(max_length=256)] = ""
    response_format: ResponseFormat | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Probability = 0.0
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=10.0)] = 1.0
    stop_token_ids: Annotated[tuple[TokenId, ...], Meta(max_length=MAX_STOP_TOKENS)] = ()
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    return_token_ids: bool = False
    cache_salt: Annotated[str, Meta(max_length=256)] = ""
    priority: Priority = 0
    timeout: Annotated[float, Meta(gt=0.0, le=86_400.0)] | None = None

    def __post_init__(self) -> None:
        if self.stream_options != StreamOptions() and not self.stream:
            raise ValueError("stream must be true with `stream_options`")

    @property
    def end_user(self) -> str:
        """Whom the client asks for, by its own word; nothing where it says none."""
        return self.safety_identifier or self.user

    @property
    def stop_strings(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else self.stop

    @property
    def token_limit(self) -> int | None:
        """The most tokens to generate; None for as many as the context has room for."""
        return self.max_tokens

    @property
    def num_top_logprobs(self) -> int | None:
        """Of how many tokens to tell how likely they were in the place of each; None for not even its own."""
        return None

    @property
    def num_prompt_logprobs(self) -> int | None:
        """The same for the tokens of the prompt."""
        return None


class CompletionRequest(SamplingFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/completions`; a prompt is a text or its token ids.

    With `echo` a text begins with its prompt, special tokens left out, and logprobs with all of the prompt's; then 0
    `max_tokens` ask for no more.
    """

    prompt: str | Annotated[tuple[str | TokenId | TokenIds, ...], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    echo: bool = False
    logprobs: NumLogprobs | None = None
    add_special_tokens: bool = True

    @property
    def token_limit(self) -> int | None:
        return DEFAULT_COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens

    @property
    def num_top_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def num_prompt_logprobs(self) -> int | None:
        return self.logprobs if self.echo else None

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """The prompts, at least one; raises `RequestRefused` when they are of several kinds, or too many."""
        if isinstance(self.prompt, str):
            return (self.prompt,)
        texts = tuple([prompt for prompt in self.prompt if isinstance(prompt, str)])
        token_ids = tuple([prompt for prompt in self.prompt if isinstance(prompt, int)])
        token_lists = tuple([prompt for prompt in self.prompt if isinstance(prompt, tuple)])
        if len(token_ids) == len(self.prompt):
            return (token_ids,)
        if len(self.prompt) not in (len(texts), len(token_lists)):
            raise RequestRefused("all prompts must be texts, or all lists of token ids", "prompt")
        if len(self.prompt) > MAX_PROMPTS:
            raise RequestRefused(f"a request may have {MAX_PROMPTS} prompts; send fewer", "prompt")
        return texts or token_lists


class TextPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One piece of a message; only text can be read."""

    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[tuple[TextPart, ...], Meta(max_length=MAX_TEXT_PARTS)]
    name: Name | None = None

    def for_template(self) -> dict[str, str]:
        """Return the message as chat templates know it: content in one string, and developers are the system."""
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": content} | ({} if self.name is None else {"name": self.name})


class ChatRequest(SamplingFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/chat/completions`; the last three fields are extensions, for the model's chat template."""

    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: TokenCount | None = None
    logprobs: bool = False
    top_logprobs: NumLogprobs = 0
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: TemplateArguments = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_logprobs and not self.logprobs:
            raise ValueError("logprobs must be true with `top_logprobs`")

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def num_top_logprobs(self) -> int | None:
        return self.top_logprobs if self.logprobs else None


class TokenizeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /tokenize`: a text or a conversation, in which the chat template puts special tokens."""

    model: Name | None = None
    prompt: str | None = None
    messages: Annotated[tuple[ChatMessage, ...], Meta(max_length=MAX_MESSAGES)] = ()
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: TemplateArguments = {}
    return_token_strs: bool = False


class TokenizeReply(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens, and what each is called in the model's vocabulary where that was asked for."""

    tokens: tuple[int, ...]
    token_strs: tuple[str, ...] | UnsetType = UNSET
    count: int
    max_model_len: int


class DetokenizeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /detokenize`."""

    model: Name | None = None
    tokens: TokenIds


class DetokenizeReply(msgspec.Struct, frozen=True, kw_only=True):
    prompt: str


class PromptTokensDetails(msgspec.Struct, frozen=True):
    """Of the prompt's tokens, how many were in the prefix cache."""

    cached_tokens: int


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When the engine made an answer's tokens: an extension of the choice that ends it."""

    ttft_s: float
    tbt_p50_s: float | None
    tbt_max_s: float | None
    num_stalls: int


class CompletionLogprobs(msgspec.Struct, frozen=True, kw_only=True):
    tokens: tuple[str, ...]
    token_logprobs: tuple[float | None, ...]
    top_logprobs: tuple[dict[str, float] | None, ...]
    text_offset: tuple[int, ...]


class ChatTopLogprob(msgspec.Struct, frozen=True, kw_only=True):
    token: str
    logprob: float
    bytes: tuple[int, ...]


class ChatTokenLogprob(ChatTopLogprob, frozen=True, kw_only=True):
    top_logprobs: tuple[ChatTopLogprob, ...]


class ChatLogprobs(msgspec.Struct, frozen=True, kw_only=True):
    content: tuple[ChatTokenLogprob, ...]
    refusal: None = None


class CompletionChoice(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    index: int = 0
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None
    token_ids: tuple[int, ...] | UnsetType = UNSET
    prompt_token_ids: tuple[int, ...] | UnsetType = UNSET
    timing: Timing | UnsetType = UNSET


class ReplyFields(msgspec.Struct, frozen=True, kw_only=True):
    """What every reply and every event begins with."""

    id: str
    created: int
    model: str
    system_fingerprint: str


class CompletionReply(ReplyFields, frozen=True, kw_only=True):
    """A completion, or one event of a streamed one, whose usage is null until the last where it is asked for."""

    choices: tuple[CompletionChoice, ...]
    object: str = "text_completion"
    usage: Usage | UnsetType | None = UNSET


class AssistantMessage(msgspec.Struct, frozen=True, kw_only=True):
    content: str
    role: str = "assistant"
    refusal: None = None


class ChatChoice(msgspec.Struct, frozen=True, kw_only=True):
    message: AssistantMessage
    finish_reason: FinishReason
    index: int = 0
    logprobs: ChatLogprobs | None = None
    token_ids: tuple[int, ...] | UnsetType = UNSET
    prompt_token_ids: tuple[int, ...] | UnsetType = UNSET
    timing: Timing | UnsetType = UNSET


class ChatReply(ReplyFields, frozen=True, kw_only=True):
    choices: tuple[ChatChoice, ...]
    usage: Usage
    object: str = "chat.completion"


class ChatDelta(msgspec.Struct, frozen=True, kw_only=True):
    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChatChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    delta: ChatDelta
    finish_reason: FinishReason | None
    index: int = 0
    logprobs: ChatLogprobs | None = None
    token_ids: tuple[int, ...] | UnsetType = UNSET
    prompt_token_ids: tuple[int, ...] | UnsetType = UNSET
    timing: Timing | UnsetType = UNSET


class ChatChunk(ReplyFields, frozen=True, kw_only=True):
    """One event of a streamed chat completion, whose usage is null until the last where it is asked for."""

    choices: tuple[ChatChunkChoice, ...]
    object: str = "chat.completion.chunk"
    usage: Usage | UnsetType | None = UNSET


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorReply(msgspec.Struct, frozen=True):
    error: ErrorDetail


RequestT = TypeVar("RequestT", CompletionRequest, ChatRequest, TokenizeRequest, DetokenizeRequest)


def parse_request(body: bytes, type_: type[RequestT]) -> RequestT:
    """Return the request that a JSON body holds.

    A field that is null counts as absent. Raises `RequestRefused`, naming the field where it can.
    """
    try:
        values = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(f"the body is not a JSON object: {error}") from error
    return request_of(told(values, NEUTRAL_VALUES), type_)


def request_of(fields: Mapping[str, Any], type_: type[RequestT]) -> RequestT:
    """Return the request that these fields make; raises `RequestRefused`, naming the field where it can."""
    messages = fields.get("messages")
    if isinstance(messages, list | tuple):
        said = [told_by_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
        fields = {**fields, "messages": said}
    try:
        return msgspec.convert(fields, type_, str_keys=True)
    except msgspec.ValidationError as error:
        raise RequestRefused(str(error), _field_named_in(str(error))) from error


def _field_named_in(message: str) -> str | None:
    """Return the field that a msgspec message is about: in backquotes (`unknown field`) or as a path (`$.top_p`)."""
    quoted = message.split("`")
    if len(quoted) < 2:
        return None
    return quoted[-2].removeprefix("$.").removesuffix("[...]")
