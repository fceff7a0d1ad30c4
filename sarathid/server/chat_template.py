"""A model's own chat template, rendered where it can do no harm."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols

from sarathid.errors import ModelRefused, RequestRefused
from sarathid.server.bounded_template import BoundedEnvironment, TemplateBoundPassed


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
        except jinja2.TemplateSyntaxError as error:
            raise ModelRefused(f"the model's chat template is not valid: {error}") from error

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the prompt of a conversation, ending where the assistant is to speak.

        Raises `RequestRefused` when the template refuses the conversation or fails at it, with no words but the
        template's own: others might tell of this process.
        """
        fields = {"messages": messages, "add_generation_prompt": True, **self._special_tokens}
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
