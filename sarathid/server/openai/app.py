"""The OpenAI-compatible HTTP API, and the endpoints that watch over it."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import UNSET
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from sarathid.clock import Clock
from sarathid.engine.client import EngineClient
from sarathid.engine.request_check import check_token_ids
from sarathid.errors import PromptTooLong, QueueFull, RequestRefused
from sarathid.protocol.requests import SamplingParams
from sarathid.server.access import Access
from sarathid.server.admission import Admission
from sarathid.server.answers import Answers
from sarathid.server.api_keys import APIKeys
from sarathid.server.availability import Availability
from sarathid.server.generation import Generation
from sarathid.server.openai.conversation import encode_conversation
from sarathid.server.openai.doorkeeper import Doorkeeper
from sarathid.server.openai.errors import EXCEPTION_HANDLERS, ModelNotFound, no_room, unavailable
from sarathid.server.openai.farewell import Farewell
from sarathid.server.openai.gate import Gate
from sarathid.server.openai.grammars import Grammars
from sarathid.server.openai.openapi import openapi_document
from sarathid.server.openai.reply import ChatFormat, CompletionFormat, ReplyFormat, ReplyHead
from sarathid.server.openai.request_id import RequestIdMiddleware
from sarathid.server.openai.sampling import MAX_SEED, sampling_params
from sarathid.server.openai.schema import (
    MAX_BODY_BYTES,
    MAX_PROMPTS,
    ChatRequest,
    CompletionRequest,
    DetokenizeReply,
    DetokenizeRequest,
    SamplingFields,
    TokenizeReply,
    TokenizeRequest,
    parse_request,
)
from sarathid.server.openai.stream import StreamedReply, WholeReply
from sarathid.server.peer import printable
from sarathid.server.tokenizer import Tokenizer
from sarathid.telemetry.exposition import OPENMETRICS_TYPE, TEXT_TYPE, Family, as_openmetrics, as_text
from sarathid.telemetry.tracing import RequestTracer
from sarathid.telemetry.vllm_names import under_vllm_names
from sarathid.version import __version__

BODY_TIMEOUT_S = 30.0

_OPERATIONS = {"/v1/completions": "text_completion", "/v1/chat/completions": "chat"}
"""What each path is called in traces."""


class OpenAIServer:
    """The endpoints; `metric_families` is what `/metrics` tells, `served_model` is the name clients use.

    A `tracer` is told of every request, where there is one.
    """

    def __init__(
        self,
        engine: EngineClient,
        tokenizer: Tokenizer,
        access: Access,
        keys: APIKeys,
        availability: Availability,
        admission: Admission,
        served_model: str,
        metric_families: Callable[[], Iterable[Family]],
        clock: Clock,
        seeds: random.Random,
        tracer: RequestTracer | None = None,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._access = access
        self._keys = keys
        self._availability = availability
        self._admission = admission
        self._served_model = served_model
        self._metric_families = metric_families
        self._clock = clock
        self._seeds = seeds
        self._tracer = tracer
        self._grammars = Grammars()
        self._created = int(time.time())

    def app(self) -> Starlette:
        """Return the ASGI application."""
        gate = [Middleware(Gate, self._access, self._availability, self._admission), Middleware(Farewell)]
        routes = [
            Route("/v1/completions", self.completions, methods=["POST"], middleware=gate),
            Route("/v1/chat/completions", self.chat_completions, methods=["POST"], middleware=gate),
            Route("/tokenize", self.tokenize, methods=["POST"], middleware=gate),
            Route("/detokenize", self.detokenize, methods=["POST"], middleware=gate),
            Route("/v1/models", self.models),
            Route("/v1/models/{model:path}", self.model),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]
        middleware = [Middleware(RequestIdMiddleware), Middleware(Doorkeeper, self._access, self._keys)]
        handlers: dict[Any, ExceptionHandler] = {**EXCEPTION_HANDLERS, QueueFull: self.queue_full}
        return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)

    async def completions(self, request: Request) -> Response:
        """Continue a text."""
        body = parse_request(await read_body(request), CompletionRequest)
        self._check_model(body.model)
        prompts = [
            await self._tokenizer.encode(prompt, add_special_tokens=body.add_special_tokens)
            if isinstance(prompt, str)
            else prompt
            for prompt in body.prompts
        ]
        reply_format = CompletionFormat(
            self._head("cmpl", request, body), self._tokenizer.words, self._tokenizer.decode, echoes=body.echo
        )
        return await self._reply(request, body, prompts, reply_format)

    async def chat_completions(self, request: Request) -> Response:
        """Answer in a conversation."""
        body = parse_request(await read_body(request), ChatRequest)
        self._check_model(body.model)
        prompt = await encode_conversation(self._tokenizer, body)
        head = self._head("chatcmpl", request, body)
        try:
            return await self._reply(request, body, [prompt], ChatFormat(head, self._tokenizer.words))
        except PromptTooLong as error:
            raise PromptTooLong(str(error), "messages") from error

    async def tokenize(self, request: Request) -> Response:
        """Return the tokens of a text or of a conversation."""
        body = parse_request(await read_body(request), TokenizeRequest)
        self._check_model(body.model)
        if (body.prompt is None) is not bool(body.messages):
            raise RequestRefused("send either a prompt or messages", "prompt")
        if body.prompt is not None:
            tokens = await self._tokenizer.encode(body.prompt, add_special_tokens=body.add_special_tokens is not False)
        elif body.add_special_tokens:
            raise RequestRefused("the chat template puts special tokens itself; leave it out", "add_special_tokens")
        else:
            tokens = await encode_conversation(self._tokenizer, body)
        names = tuple(map(self._tokenizer.words.name, tokens)) if body.return_token_strs else UNSET
        longest = 0 if self._engine.info is None else self._engine.info.max_model_len
        return json_reply(TokenizeReply(tokens=tokens, token_strs=names, count=len(tokens), max_model_len=longest))

    async def detokenize(self, request: Request) -> Response:
        """Return the text of tokens, special ones by their names, so that it has these tokens again."""
        body = parse_request(await read_body(request), DetokenizeRequest)
        self._check_model(body.model)
        if self._engine.info is not None:
            check_token_ids(self._engine.info, "tokens", body.tokens)
        return json_reply(DetokenizeReply(prompt=await self._tokenizer.decode_long(body.tokens)))

    async def models(self, _request: Request) -> Response:
        """List the one model that is served."""
        return JSONResponse({"object": "list", "data": [self._model_card()]})

    async def model(self, request: Request) -> Response:
        """Describe the one model that is served."""
        self._check_model(request.path_params["model"])
        return JSONResponse(self._model_card())

    async def health(self, _request: Request) -> Response:
        """Say that the daemon lives, and what it is about."""
        return JSONResponse({"state": self._availability.state, "reason": self._availability.reason})

    async def ready(self, _request: Request) -> Response:
        """Say whether a request would be taken now."""
        if not self._availability.is_ready:
            return unavailable(self._availability.reason)
        return JSONResponse({"state": self._availability.state})

    async def metrics(self, request: Request) -> Response:
        """Expose the figures for Prometheus, in the format that it asks for; with `names=vllm` by vLLM's names too."""
        names = request.query_params.get("names", "own")
        if names not in ("own", "vllm"):
            raise RequestRefused(
                f"there are no metrics by the names of {names!r}; ask for names=vllm, or none", "names"
            )
        families = list(self._metric_families())
        if names == "vllm":
            families += under_vllm_names(families, self._served_model)
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            return Response(as_openmetrics(families), media_type=OPENMETRICS_TYPE)
        return Response(as_text(families), media_type=TEXT_TYPE)

    async def openapi(self, _request: Request) -> Response:
        """Describe this API."""
        return JSONResponse(openapi_document())

    async def queue_full(self, request: Request, error: Exception) -> Response:
        """Answer a request for which there is no room now."""
        assert isinstance(error, QueueFull)
        return no_room(str(error), self._admission.refuse(error, request.state.begun_s))

    def _model_card(self) -> dict[str, str | int]:
        card: dict[str, str | int] = {
            "id": self._served_model,
            "object": "model",
            "created": self._created,
            "owned_by": "sarathid",
        }
        if self._engine.info is not None:
            card["max_model_len"] = self._engine.info.max_model_len
        return card

    def _check_model(self, name: str | None) -> None:
        if name not in (None, self._served_model):
            raise ModelNotFound(HTTPStatus.NOT_FOUND, f"{name!r} is not served here; {self._served_model!r} is")

    def _head(self, prefix: str, request: Request, body: SamplingFields) -> ReplyHead:
        return ReplyHead(
            id=f"{prefix}-{request.state.request_id}",
            created=int(time.time()),
            model=self._served_model,
            system_fingerprint=f"sarathid {__version__} {self._served_model}",
            tells_token_ids=body.return_token_ids,
            tells_logprobs=body.num_top_logprobs is not None,
            tells_usage=body.stream_options.include_usage,
        )

    async def _reply(
        self, request: Request, body: SamplingFields, prompts: Sequence[tuple[int, ...]], reply_format: ReplyFormat
    ) -> Response:
        if len(prompts) * body.n > MAX_PROMPTS:
            raise RequestRefused(f"a request may ask for {MAX_PROMPTS} answers; ask for fewer", "n")
        self._admission.check_fits(prompts)
        params = sampling_params(body, self._seeds, await self._grammars.of(body.response_format))
        deadline_s = math.inf if body.timeout is None else time.monotonic() + body.timeout
        start = partial(self._start, request, body, params, deadline_s)
        answers = Answers([partial(start, prompt) for prompt in prompts], body.n)
        if body.stream:
            return StreamedReply(answers, reply_format, self._clock, body.stream_options)
        return WholeReply(answers, reply_format)

    def _start(
        self,
        request: Request,
        body: SamplingFields,
        params: SamplingParams,
        deadline_s: float,
        prompt: tuple[int, ...],
        number: int,
    ) -> Generation:
        """Have answer `number` to a prompt generated; raises `QueueFull`, the first one, or `RequestRefused`."""
        stream = self._engine.submit(
            prompt,
            msgspec.structs.replace(params, seed=(params.seed + number) & MAX_SEED),
            client=client_label(request, body.end_user),
            owner=request.state.client.owner,
            priority=body.priority,
            cache_salt=cache_salt(request, body.cache_salt),
            timeout_s=None if deadline_s == math.inf else max(0.0, deadline_s - time.monotonic()),
            is_further=number > 0,
        )
        if self._tracer is not None:
            self._tracer.begin(stream.request_id, _OPERATIONS[request.url.path], request.headers)
        return Generation(
            stream,
            self._tokenizer.detokenizer(),
            body.stop_strings,
            includes_stop=body.include_stop_str_in_output,
            min_tokens=body.min_tokens,
            tells_every_token=body.return_token_ids,
            is_mute=body.token_limit == 0,
        )


def json_reply(reply: Any) -> Response:
    """Return a struct as a body of JSON."""
    return Response(msgspec.json.encode(reply), media_type="application/json")


def client_label(request: Request, user: str) -> str:
    """Return who asks: the client as the daemon knows it, then whom it asks for, by its own word."""
    return f"{request.state.client.label} {printable(user, 64)}".strip()


def cache_salt(request: Request, own: str) -> str:
    """Return what keeps cached prompts from other users and keys, who could tell by the time what is cached.

    `own` is the client's: requests with different ones share nothing either.
    """
    return f"{request.state.client.owner}/{own}"


async def read_body(request: Request) -> bytes:
    """Return the whole body.

    Raises `HTTPException` when it is too long (413) or too slow (408).
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    too_long = f"the body is longer than the {MAX_BODY_BYTES} bytes allowed"
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_long)
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"the body took longer than {BODY_TIMEOUT_S:g} s") from None
    return bytes(body)
