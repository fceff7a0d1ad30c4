import pytest

from sarathid.errors import ModelRefused, RequestRefused
from sarathid.server.chat_template import ChatTemplate


def test_messages_and_special_tokens_reach_the_template() -> None:
    template = ChatTemplate(
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}", {"bos_token": "<s>"}
    )

    assert template.render([{"role": "user", "content": "hi"}]) == "<s>[user:hi]"


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


def test_what_is_not_a_template_is_refused_with_the_model() -> None:
    with pytest.raises(ModelRefused, match="chat template"):
        ChatTemplate("{% for", {})


def test_json_is_not_escaped_for_html() -> None:
    assert ChatTemplate("{{ messages[0].content | tojson }}", {}).render([{"content": "<é>"}]) == '"<é>"'
