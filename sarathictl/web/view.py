"""The console in browsers: each that looks has a process of its own, which only reads."""

import shlex
from collections.abc import Callable, Sequence

from aiohttp import web
from textual_serve.server import Server

from sarathictl.web.address import HOST
from sarathictl.web.gate import Gate

MAX_VIEWERS = 4


class WebView(Server):
    """Serves what the words of `command` draw to who passes the gate; `say` tells that it does."""

    def __init__(self, command: Sequence[str], port: int, gate: Gate, say: Callable[[], None]) -> None:
        super().__init__(shlex.join(command), host=HOST, port=port, title="sarathictl top")
        self._gate = gate
        self._say = say
        self._num_viewers = 0

    def serve(self, debug: bool = False) -> None:
        """Serve until interrupted; raises `OSError` where the port is taken."""
        self.debug = debug
        web.run_app(self._make_app(), host=self.host, port=self.port, print=lambda _: self._say())

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        self._gate.guard(app)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing yet: nobody can connect before this is over."""

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Show the console to one viewer more, unless there are as many as may be."""
        if self._num_viewers >= MAX_VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_VIEWERS} look already\n")
        self._num_viewers += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._num_viewers -= 1
