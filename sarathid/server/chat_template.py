"""A model's own chat template, rendered where it can do no harm."""

import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NoReturn

import jinja2
from jinja2 import meta
from jinja2.ext import loopcontrols

from sarathid.errors import ModelRefused, RequestRefused
from sarathid.server.bounded_template import BoundedEnvironment, TemplateBoundPassed


class Ending(Enum):
    """Where the prompt of a conversation ends: where the assistant is to speak, behind the last message, or in it."""

    ASSISTANT = auto()
    BEHIND_LAST = auto()
    IN_LAST = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How a conversation is made a prompt; `arguments` are what its template can be told, `enable_thinking` say."""

    ending: Ending = Ending.ASSISTANT
    arguments: Mapping[str, Any] = field(default_factory=dict)


AS_USUAL = Rendering()


class ChatTemplate:
    """A Hugging Face chat template: Jinja with `raise_exception`, `strftime_now` and an unescaped `tojson`."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """Compile `source`; `special_tokens` (`bos_token`, `eos_token`) are visible to it.

        Raises `ModelRefused` when it is not a template.
        """
        environment = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._environment = environment
        self._special_tokens = dict(special_tokens)
        try:
            self._template = environment.from_string(source)
            variables = meta.find_undeclared_variables(environment.parse(source))
        except jinja2.TemplateSyntaxError as error:
            raise ModelRefused(f"the model's chat template is not valid: {error}") from error
        own = {"messages", "add_generation_prompt", *self._special_tokens, *environment.globals}
        self._arguments = frozenset(variables - own)

    def render(self, messages: Sequence[Mapping[str, Any]], rendering: Rendering = AS_USUAL) -> str:
        """Return the prompt of a conversation.

        Raises `RequestRefused` when the template refuses the conversation, can't be told an argument, or fails, with no
        words but the template's own: others might tell of this process.
        """
        for name in rendering.arguments.keys() - self._arguments:
            raise RequestRefused(f"the model's chat template has no use for {name!r}", "chat_template_kwargs")
        if rendering.ending is Ending.IN_LAST:
            return self._open_ended(messages, rendering.arguments)
        return self._rendered(messages, rendering.arguments, rendering.ending is Ending.ASSISTANT)

    def _open_ended(self, messages: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]) -> str:
        """Return the prompt up to the end of the last message; spaces that the template cuts there are cut."""
        mark = uuid.uuid4().hex
        *others, last = messages
        marked = self._rendered([*others, {**last, "content": f"{last['content']}{mark} "}], arguments, False)
        shown, found, behind = marked.rpartition(mark)
        if not found:
            raise RequestRefused("the model's chat template does not show the end of the last message", "messages")
        return shown if behind.startswith(" ") else shown.rstrip()

    def _rendered(
        self, messages: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any], adds_assistant: bool
    ) -> str:
        fields = {**arguments, "messages": messages, "add_generation_prompt": adds_assistant, **self._special_tokens}
        try:
            return self._environment.within_bounds(lambda: self._template.render(fields))
        except (_TemplateRefusal, TemplateBoundPassed) as error:
            raise RequestRefused(f"the model's chat template refuses these messages: {error}", "messages") from error
        except Exception as error:  # a template may fail in any way that Python can
            raise RequestRefused(
                f"the model's chat template fails at these messages: {type(error).__name__}", "messages"
            ) from error


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


class _TemplateRefusal(jinja2.TemplateError):
    """What a template says itself."""


def _raise_exception(message: str) -> NoReturn:
    raise _TemplateRefusal(message)


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)
