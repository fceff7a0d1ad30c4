"""Whom a request comes from, and whether it may come at all, before anything else is done about it."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sarathid.protocol.roles import Role
from sarathid.server.access import Access, Client, refusal
from sarathid.server.api_keys import APIKeys
from sarathid.server.openai.errors import error_response
from sarathid.server.peer import Peer


class Doorkeeper:
    """Puts the `Client` into `request.state.client` and lets in who may read; a key lets infer, and no more.

    A peer of the Unix socket is known by its user, and any other by its key.
    """

    def __init__(self, app: ASGIApp, access: Access, keys: APIKeys) -> None:
        self._app = app
        self._access = access
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer: Peer | None = scope["state"]["peer"]
        client = self._key_holder(scope) if peer is None else self._access.client(peer)
        if client is None:
            headers, words = {"www-authenticate": "Bearer"}, "send one of the daemon's API keys"
            answer = error_response(HTTPStatus.UNAUTHORIZED, words, code="invalid_api_key", headers=headers)
            await answer(scope, receive, send)
        elif self._access.permits(client, Role.READ):
            scope["state"]["client"] = client
            await self._app(scope, receive, send)
        else:
            await forbidden(client, Role.READ)(scope, receive, send)

    def _key_holder(self, scope: Scope) -> Client | None:
        name = self._keys.holder(Headers(scope=scope).get("authorization", ""))
        return None if name is None else Client(f"key {name}", f"key {name}", Role.INFER)


def forbidden(client: Client, needed: Role) -> ASGIApp:
    """Return the answer to a client that may not do what needs a role."""
    return error_response(HTTPStatus.FORBIDDEN, refusal(client, needed), code="not_permitted")
