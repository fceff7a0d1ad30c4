import pytest

from sarathid.errors import ModelRefused, RequestRefused
from sarathid.server.chat_template import ChatTemplate, Ending, Rendering


def test_messages_and_special_tokens_reach_the_template() -> None:
    template = ChatTemplate(
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}", {"bos_token": "<s>"}
    )

    assert template.render([{"role": "user", "content": "hi"}]) == "<s>[user:hi]"


def test_a_template_is_told_what_it_has_a_use_for_and_nothing_else() -> None:
    template = ChatTemplate("{% if enable_thinking is false %}quick{% endif %}{{ bos_token }}", {"bos_token": "<s>"})

    assert template.render([], Rendering(arguments={"enable_thinking": False})) == "quick<s>"
    for name in ("think", "bos_token", "messages", "raise_exception"):
        with pytest.raises(RequestRefused, match=f"no use for '{name}'"):
            template.render([], Rendering(arguments={name: 1}))


@pytest.mark.parametrize(
    ("shown", "ending", "prompt"),
    [
        ("m.content", Ending.ASSISTANT, "[hi ][One, ]["),
        ("m.content", Ending.BEHIND_LAST, "[hi ][One, ]"),
        ("m.content", Ending.IN_LAST, "[hi ][One, "),
        ("m.content | trim", Ending.IN_LAST, "[hi][One,"),
    ],
)
def test_a_prompt_ends_where_it_is_to(shown: str, ending: Ending, prompt: str) -> None:
    source = "{% for m in messages %}[{{ SHOWN }}]{% endfor %}{% if add_generation_prompt %}[{% endif %}"
    messages = [{"role": "user", "content": "hi "}, {"role": "assistant", "content": "One, "}]

    assert ChatTemplate(source.replace("SHOWN", shown), {}).render(messages, Rendering(ending=ending)) == prompt


def test_a_last_message_that_is_not_shown_has_no_end_to_go_on_from() -> None:
    with pytest.raises(RequestRefused, match="does not show the end"):
        ChatTemplate("hello", {}).render([{"role": "user", "content": "hi"}], Rendering(ending=Ending.IN_LAST))


def test_a_template_may_refuse_a_conversation() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})

    with pytest.raises(RequestRefused, match="roles must alternate") as refused:
        template.render([])
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__['datetime'] }}",
        "{% for i in range(10000000) %}x{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(RequestRefused):
        ChatTemplate(source, {}).render([])


_DOUBLED = "{%% set ns = namespace(x='%s') %%}{%% for i in range(60) %%}{%% set ns.x = %s %%}{%% endfor %%}"


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        "{% for i in range(9) recursive %}{{ loop(range(9)) if loop.depth < 30 }}{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ [1] * 99999999999 }}",
        "{{ 9 ** 99999999 }}",
        "{{ '%99999999d' % 1 }}",
        _DOUBLED % ("xy", "ns.x ~ ns.x"),
        _DOUBLED % ("xy", "ns.x + ns.x"),
        "{% set x = 'x' * 1000000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
        "{% set x = 'x' * 1000000 %}{% set y %}{% for i in range(99999) %}{{ x }}{% endfor %}{% endset %}",
    ],
)
def test_a_template_has_its_time_and_room_and_no_more(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr("sarathid.server.bounded_template.MAX_SECONDS", 0.2)
    with pytest.raises(RequestRefused, match="refuses these messages: it "):
        ChatTemplate(source, {}).render([])


@pytest.mark.parametrize("source", ["{{ 1 / 0 }}", "{{ messages.append }}{{ messages.append(1) }}", "{{ x.y.z }}"])
def test_a_failure_tells_its_kind_and_nothing_of_the_process(source: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        ChatTemplate(source, {}).render([])

    assert str(refused.value).startswith("the model's chat template fails at these messages: ")
    assert "0x" not in str(refused.value)


def test_what_templates_usually_do_is_as_it_was() -> None:
    source = (
        "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}{%- set ns.n = ns.n + loop.index * 2 -%}"
        "{{ '<' + m.role ~ '>' ~ ns.n ~ (m.content | trim) }}{%- endfor -%}{{ ns.n % 4 }}"
    )
    messages = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b"}]

    assert ChatTemplate(source, {}).render(messages) == "<user>2a<assistant>6b2"


def test_what_is_not_a_template_is_refused_with_the_model() -> None:
    with pytest.raises(ModelRefused, match="chat template"):
        ChatTemplate("{% for", {})


def test_json_is_not_escaped_for_html() -> None:
    assert ChatTemplate("{{ messages[0].content | tojson }}", {}).render([{"content": "<é>"}]) == '"<é>"'
