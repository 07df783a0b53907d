"""Serves the page of one session to this machine alone: no file, no upload, nothing for other sites."""

import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from segue.viewer.session import Session

ADDRESS = "127.0.0.1"

REFUSED = {"file", "upload", "proxy", "stream", "custom_component", "component_server"}
"""Parts of addresses by which Gradio hands out and takes in files, of which the page needs none."""

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'self';"
    " base-uri 'self'"
)
"""What browsers may load for the page: only what comes from here."""

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


def require_gradio() -> None:
    """Raise ``ValueError`` if Gradio is not installed."""
    if find_spec("gradio") is None:
        raise ValueError("segue view needs Gradio: pip install '.[view]' in Segue's folder")


def bound(port: int) -> socket.socket:
    """A socket that listens to this machine alone; port 0 takes any that is free.

    Raises:
        ValueError: If the port is taken.
    """
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        raise ValueError(
            f"port {port} cannot be had ({error.strerror}): choose another with --port, or --port 0 for any"
        ) from None


class Guard:
    """Lets through what the page itself asks for.

    Requests that were made to another name, as by rebinding a stranger's name to this machine, or by another site's
    page, are refused, and so is every address by which Gradio serves or stores files.
    """

    def __init__(self, app: Any, port: int) -> None:
        self._app = app
        self._own = {f"{name}:{port}" for name in (ADDRESS, "localhost")}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        status = self._refusal(scope)
        if status is not None:
            await _refuse(scope, send, status)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, with_policy)

    def _refusal(self, scope: Message) -> int | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        if headers.get(b"host") not in self._own:
            return 403
        if origin is not None and origin.removeprefix("http://") not in self._own:
            return 403
        if scope["type"] != "http":
            return 404
        asked = {part.partition("=")[0].lower() for part in scope["path"].split("/")}
        return 404 if asked & REFUSED else None


async def _refuse(scope: Message, send: Send, status: int) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"not served here\n"})


def application(session: Session, port: int) -> Guard:
    """The page and its pictures, as an ASGI application."""
    os.environ.update(QUIET)
    os.environ["GRADIO_TEMP_DIR"] = str(Path(session.run, "view", "gradio").absolute())
    # Only now, as Gradio looks at these when it is imported.
    import fastapi  # pyright: ignore[reportMissingImports]
    import gradio as gr  # pyright: ignore[reportMissingImports]

    from segue.viewer.page import CSS, THEME, Page

    def picture(place: int, kind: str) -> Any:
        try:
            content, media_type = session.content(place, kind)
        except LookupError:
            raise fastapi.HTTPException(404, "no such picture") from None
        except (OSError, ValueError) as error:
            raise fastapi.HTTPException(404, " ".join(str(error).split())) from None
        kept = {"Cache-Control": "private, max-age=3600"}
        return fastapi.Response(content, media_type=media_type, headers=kept)

    app = fastapi.FastAPI(openapi_url=None)
    app.add_api_route("/pictures/{place}/{kind}", picture)
    mounted = gr.mount_gradio_app(
        app,
        Page(session).blocks,
        path="/",
        server_name=ADDRESS,
        server_port=port,
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=THEME,
        css=CSS,
    )
    return Guard(mounted, port)


def serve(session: Session, listening: socket.socket) -> None:
    """Show a session until Ctrl-C."""
    import uvicorn  # pyright: ignore[reportMissingImports]

    app = application(session, listening.getsockname()[1])
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])
