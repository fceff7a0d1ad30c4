"""Who may look at what is served to browsers: nobody but who was told the address, and no page of anybody else's."""

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler

from sarathictl.web.address import HOST

COOKIE = "sarathictl"
PARAMETER = "token"


class Gate:
    """Lets in who shows the token, in the address once and in a cookie from then on.

    Whatever a browser was made to ask by another page is refused: by the origin that it names, by a name that was made
    to mean this machine, and since the cookie does not come along.
    """

    def __init__(self, token: str, port: int) -> None:
        self._token = token
        self._host = f"{HOST}:{port}"
        self._policy = "; ".join(
            (
                "default-src 'self' 'unsafe-inline'",
                f"connect-src 'self' ws://{self._host}",
                "img-src 'self' data:",
                "frame-ancestors 'none'",
            )
        )

    def guard(self, app: web.Application) -> None:
        """Have every request to `app` pass here."""
        app.middlewares.append(self._pass)
        app.on_response_prepare.append(self._restrict)

    @web.middleware
    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        own = f"http://{self._host}"
        if request.host != self._host or request.headers.get("Origin", own) != own:
            raise web.HTTPForbidden(text=f"only what was opened at {own} may ask this\n")
        if self._is_right(request.query.get(PARAMETER, "")):
            admitted = web.HTTPFound(request.path)
            admitted.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
            raise admitted
        if not self._is_right(request.cookies.get(COOKIE, "")):
            raise web.HTTPForbidden(text="the address that `sarathictl top --web` prints lets you in\n")
        return await handler(request)

    def _is_right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    async def _restrict(self, request: web.Request, response: web.StreamResponse) -> None:
        """Keep the page from fetching anything elsewhere, and its address from being told."""
        del request
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Referrer-Policy"] = "no-referrer"
