"""Turns what form an answer is to have into a grammar, checked away from the event loop and within bounds."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import llguidance
import msgspec

from sarathid.errors import RequestRefused
from sarathid.protocol.requests import MAX_GRAMMAR_BYTES
from sarathid.server.openai.schema import JSONObjectFormat, JSONSchemaFormat, ResponseFormat

MAX_SCHEMA_BYTES = 64 << 10
CHECK_TIMEOUT_S = 2.0
_NUM_KNOWN = 256


class Grammars:
    """Makes grammars in a thread of its own; those that were asked for lately are known."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._compile = lru_cache(_NUM_KNOWN)(compiled)

    async def of(self, form: ResponseFormat | None) -> str | None:
        """Return the grammar of an answer's form, None for free text.

        Raises `RequestRefused` when a schema is none, too large, or takes too long to make a grammar of.
        """
        if (schema := schema_of(form)) is None:
            return None
        making = asyncio.get_running_loop().run_in_executor(self._thread, self._compile, schema)
        try:
            return await asyncio.wait_for(asyncio.shield(making), CHECK_TIMEOUT_S)
        except TimeoutError:
            raise RequestRefused("the schema takes too long to follow; simplify it", "response_format") from None


def schema_of(form: ResponseFormat | None) -> bytes | None:
    """Return the JSON schema of an answer's form, None for free text; raises `RequestRefused` when it is too large."""
    match form:
        case JSONObjectFormat():
            schema = b'{"type":"object"}'
        case JSONSchemaFormat(json_schema=described):
            schema = msgspec.json.encode(described.schema)
        case _:
            return None
    if len(schema) > MAX_SCHEMA_BYTES:
        raise RequestRefused(f"the schema is longer than the {MAX_SCHEMA_BYTES} bytes allowed", "response_format")
    return schema


def compiled(schema: bytes) -> str:
    """Return the grammar of a JSON schema; raises `RequestRefused` when it is none that can be followed."""
    try:
        grammar: str = llguidance.LLMatcher.grammar_from_json_schema(
            schema.decode(), defaults={"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        )
    except ValueError as error:
        raise RequestRefused(f"the schema can't be followed: {error}", "response_format") from error
    if len(grammar) > MAX_GRAMMAR_BYTES:
        raise RequestRefused("the schema makes too long a grammar; simplify it", "response_format")
    if problem := llguidance.LLMatcher.validate_grammar(grammar):
        raise RequestRefused(f"the schema can't be followed: {problem.strip()[:500]}", "response_format")
    matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar, log_level=0)
    matcher.compute_bitmask()
    if matcher.is_error():
        raise RequestRefused("the schema can't be followed: no text satisfies it", "response_format")
    return grammar
