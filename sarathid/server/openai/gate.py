"""What a request passes before its body is read: may its client infer, are requests taken, and is there room?"""

from starlette.types import ASGIApp, Receive, Scope, Send

from sarathid.protocol.roles import Role
from sarathid.server.access import Access, Client
from sarathid.server.admission import Admission
from sarathid.server.availability import Availability
from sarathid.server.openai.doorkeeper import forbidden
from sarathid.server.openai.errors import unavailable


class Gate:
    """Holds a place for a request from its headers to the end of its reply; raises `QueueFull` where there is none."""

    def __init__(self, app: ASGIApp, access: Access, availability: Availability, admission: Admission) -> None:
        self._app = app
        self._access = access
        self._availability = availability
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client: Client = scope["state"]["client"]
        if not self._access.permits(client, Role.INFER):
            await forbidden(client, Role.INFER)(scope, receive, send)
        elif not self._availability.takes_requests:
            await unavailable(self._availability.reason)(scope, receive, send)
        else:
            with self._admission.place(client):
                await self._app(scope, receive, send)
