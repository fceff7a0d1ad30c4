"""What a request passes before its body is read: are requests taken, and is there room?"""

from starlette.types import ASGIApp, Receive, Scope, Send

from sarathid.server.admission import Admission
from sarathid.server.availability import Availability
from sarathid.server.openai.errors import unavailable


class Gate:
    """Holds a place for a request from its headers to the end of its reply; raises `QueueFull` where there is none."""

    def __init__(self, app: ASGIApp, availability: Availability, admission: Admission) -> None:
        self._app = app
        self._availability = availability
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._availability.takes_requests:
            await unavailable(self._availability.reason)(scope, receive, send)
            return
        with self._admission.place(scope["state"].get("peer", "")):
            await self._app(scope, receive, send)
