"""The page's server, for this machine alone."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from nicegui import app, ui

from vqgen.errors import UserError

HOST = "127.0.0.1"
ASGI = Callable[..., Any]

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://{0}:{1} ws://localhost:{1}; "
    "object-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""What the page may load and talk to: this server alone."""


class OnlyLocal:
    """Answers requests to the page's own address alone, that no other site may ask for it or talk to it.

    A page of another site could otherwise reach it by a name that it points here (DNS rebinding: the host tells), by a
    socket of its own (the origin tells), or make it work by an image of this address (`Sec-Fetch-Site` tells).
    """

    def __init__(self, app: ASGI, port: int) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}".encode() for name in (HOST, "localhost")}
        self.policy = POLICY.format(HOST, port).encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: ASGI, send: ASGI) -> None:
        """Pass a request on, or answer 403."""
        headers = dict(scope.get("headers", []))
        if scope["type"] == "lifespan" or self._from_here(headers):
            return await self.app(scope, receive, self._guarded(send))
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"this page is for its own machine"})

    def _from_here(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the page itself asks, or someone who opens it."""
        origin = headers.get(b"origin", b"").removeprefix(b"http://")
        elsewhere = headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site")
        opened = not elsewhere or headers.get(b"sec-fetch-mode") == b"navigate"
        return headers.get(b"host") in self.hosts and origin in {b"", *self.hosts} and opened

    def _guarded(self, send: ASGI) -> ASGI:
        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", self.policy)]
            await send(message)

        return guarded


def serve(build: Callable[[], Awaitable[None]], name: str, port: int, browser: bool) -> None:
    """Serve a page until Ctrl-C.

    Args:
        build: makes the page of one visitor.
        name: of the run, for the title.
        port: 0 for a free one.
        browser: open it.

    Raises:
        UserError: the port is taken.
    """
    port = _free(port)
    app.add_middleware(OnlyLocal, port=port)
    line = f"http://{HOST}:{port} shows '{name}', to this machine alone; Ctrl-C ends it"
    app.on_startup(lambda: print(line, flush=True))
    with contextlib.suppress(KeyboardInterrupt):
        ui.run(
            build,
            host=HOST,
            port=port,
            title=f"{name} - vqgen",
            favicon=_ICON,
            dark=None,
            show=browser,
            reload=False,
            show_welcome_message=False,
            uvicorn_logging_level="critical",  # it would tell Ctrl-C as an error
        )


_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><path fill="#3730a3" d="M0 0h4v4H0z"/>'
    '<path fill="#fbbf24" d="M1 1h1v1H1zM2 2h1v1H2z"/><path fill="#a5b4fc" d="M2 1h1v1H2zM1 2h1v1H1z"/></svg>'
)


def _free(port: int) -> int:
    """The port, if it is free; any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port={port}: {error.strerror}; port=0 takes a free one") from None
        return int(probe.getsockname()[1])
