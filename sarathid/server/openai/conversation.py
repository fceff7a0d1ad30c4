"""The prompt of a conversation, as the fields of its body say."""

from sarathid.errors import RequestRefused
from sarathid.server.chat_template import Ending, Rendering
from sarathid.server.openai.schema import ChatRequest, TokenizeRequest
from sarathid.server.tokenizer import Tokenizer


async def encode_conversation(tokenizer: Tokenizer, body: ChatRequest | TokenizeRequest) -> tuple[int, ...]:
    """Return the token ids; raises `RequestRefused` when there is no such prompt."""
    rendering = Rendering(ending=_ending(body), arguments=body.chat_template_kwargs)
    return await tokenizer.encode_chat([message.for_template() for message in body.messages], rendering)


def _ending(body: ChatRequest | TokenizeRequest) -> Ending:
    if not body.continue_final_message:
        return Ending.ASSISTANT if body.add_generation_prompt else Ending.BEHIND_LAST
    if body.add_generation_prompt:
        raise RequestRefused(
            "a prompt that goes on in the last message has no other behind it; set add_generation_prompt to false",
            "continue_final_message",
        )
    return Ending.IN_LAST
