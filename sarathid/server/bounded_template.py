"""Jinja that can neither run code, nor change anything, nor take more time or room than it is given."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_CHARS = 16 << 20  # twice the longest body: no conversation comes near it
MAX_EXPONENT = 64
MAX_SECONDS = 2.0


class TemplateBoundPassed(jinja2.TemplateRuntimeError):
    """A template would take more time or room than it may."""


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose templates look at the clock in each turn of a loop and each call of a macro.

    What makes a text or a list of others (`+`, `*`, `~`, `%`, blocks, the output) is refused when it comes to be longer
    than `MAX_CHARS`.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._running = threading.local()
        for name in ("center", "indent", "format", "xmlattr", "wordwrap", "pprint"):  # no chat needs their widths
            self.filters.pop(name, None)

    def within_bounds(self, render: Callable[[], str]) -> str:
        """Return what `render()` does, which renders a template of this environment in this thread."""
        self._running.deadline_s = time.monotonic() + MAX_SECONDS
        return render()

    def tick(self) -> str:
        """Raise `TemplateBoundPassed` when this thread's template has had its time; templates call this themselves."""
        if time.monotonic() > self._running.deadline_s:
            raise TemplateBoundPassed(f"it takes longer than {MAX_SECONDS:g} s")
        return ""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (isinstance(right, int | float) and abs(right) <= MAX_EXPONENT):
            raise TemplateBoundPassed("it raises a number to a large power")
        if operator == "%" and isinstance(left, str):
            raise TemplateBoundPassed("it formats a text by a width")
        if operator == "*":
            _check_length(max(_length(left), _length(right)) * max(_number(left), _number(right)))
        if operator == "+":
            _check_length(_length(left) + _length(right))
        return super().call_binop(context, operator, left, right)

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join what a template, a block or a macro gives."""
        taken: list[str] = []
        num_chars = 0
        for part in parts:
            num_chars += len(part)
            _check_length(num_chars)
            taken.append(part)
        return "".join(taken)

    def joined(self, *values: Any) -> str:
        """Return what `~` makes of values."""
        return self.concat(map(str, values))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        bodies: list[list[nodes.Node]] = [
            *(loop.body for loop in template.find_all(nodes.For)),
            *(macro.body for macro in template.find_all(nodes.Macro)),
            *(block.body for block in template.find_all(nodes.CallBlock)),
        ]
        for body in bodies:
            body.insert(0, nodes.ExprStmt(_own("tick", []), lineno=1))
        _Joining().visit(template)
        template.set_environment(self)
        return template


class _Joining(NodeTransformer):
    """Has `~` done by the environment."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _own("joined", node.nodes, node.lineno)


def _own(name: str, arguments: list[nodes.Expr], lineno: int = 1) -> nodes.Call:
    attribute = nodes.EnvironmentAttribute(name, lineno=lineno)
    return nodes.Call(attribute, arguments, [], None, None, lineno=lineno)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _check_length(num_chars: int) -> None:
    if num_chars > MAX_CHARS:
        raise TemplateBoundPassed(f"it makes more than {MAX_CHARS} characters")
