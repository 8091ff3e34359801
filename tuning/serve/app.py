"""What the server answers: a page to drop a picture on, `POST /predict`, and how it is."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import jinja2
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive

from tuning.data.decoding import UnreadablePicture, decode
from tuning.evaluation.pictures import jpeg
from tuning.export.classifier import Classifier
from tuning.predict import as_json
from tuning.serve.guard import HEALTH, Guard
from tuning.serve.metrics import Counted, Metrics
from tuning.serve.server import PATIENCE

HERE = Path(__file__).parent
HOSTS = ["127.0.0.1", "localhost"]
LIMIT = 20 * 1024 * 1024  # bytes of a picture; phones' photos have 3 to 12 million
# Nothing may leave the page, and nobody may frame it.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def application(
    model: Classifier,
    name: str,
    *,
    limit: int = LIMIT,
    patience: float = PATIENCE,
    token: str | None = None,
) -> Starlette:
    """The server's application.

    Args:
        model: The model that answers.
        name: The name of its run, for the page.
        limit: The most bytes of a request's body.
        patience: Seconds that a body may take to arrive.
        token: The word that all but `/health` asks for; None: every program of this machine is
            answered, and no other.
    """
    server = _Server(model, name, limit, patience)
    # A page from elsewhere that makes its own name mean this machine must not get answers.
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    if token is not None:
        guard = Middleware(Guard, token=token)
    return Starlette(
        routes=[
            Route("/", server.page),
            *(Route(f"/{file}", partial(_file, HERE / file)) for file in ("page.css", "page.js")),
            Route("/predict", server.predict, methods=["POST"]),
            Route(HEALTH, server.health),
            Route("/metrics", server.metrics.answer),
        ],
        middleware=[Middleware(Counted, metrics=server.metrics), guard],
        exception_handlers={HTTPException: _told, Exception: _failed},
    )


class _Server:
    def __init__(self, model: Classifier, name: str, limit: int, patience: float) -> None:
        self.model, self.limit, self.patience = model, limit, patience
        # One picture at a time is decoded and judged: Keras wants it, and memory stays bounded.
        self.turn = anyio.CapacityLimiter(1)
        loader = jinja2.FileSystemLoader(HERE)
        template = jinja2.Environment(loader=loader, autoescape=True).get_template("page.html")
        squashed = model.settings.keep_aspect is None
        self.html = template.render(
            name=name, classes=model.classes, limit=limit, squashed=squashed
        )
        self.metrics = Metrics()
        self.known = {"status": "ok", "run": name, "classes": len(model.classes)}

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self.html, headers=SECURITY)

    async def health(self, request: Request) -> Response:
        return JSONResponse(self.known, headers=SECURITY)

    async def predict(self, request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin and origin.partition("://")[2] != request.headers["host"]:
            raise HTTPException(403, "Pages from elsewhere are not answered.")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.limit:
            raise self._too_large()
        try:
            content = await asyncio.wait_for(self._content(request), self.patience)
        except asyncio.TimeoutError:
            raise HTTPException(
                408, f"The picture did not arrive within {self.patience:g} seconds."
            ) from None
        judge = partial(self._judge, content, "heat" in request.query_params)
        try:
            answer = await anyio.to_thread.run_sync(judge, limiter=self.turn)
        except UnreadablePicture as error:
            raise HTTPException(422, f"The picture cannot be read: {error}.") from None
        return JSONResponse(answer, headers=SECURITY)

    async def _content(self, request: Request) -> bytes:
        """The picture in a request: its body, or the first file of a form."""
        counted = Request(request.scope, self._counted(request.receive))
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            content = await counted.body()
        else:
            async with counted.form(max_files=1, max_fields=16) as form:
                files = [part for part in form.values() if isinstance(part, UploadFile)]
                content = await files[0].read() if files else b""
        if not content:
            raise HTTPException(400, "There is no picture in the request.")
        return content

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise self._too_large()
            return message

        return counted

    def _judge(self, content: bytes, heated: bool) -> dict[str, Any]:
        """What is said of a picture; `heat`, if asked for and known: as a JPEG in a data URL."""
        with self.metrics.judged.time():
            picture = decode(io.BytesIO(content), self.model.image_size, self.model.settings)
            (said,) = self.model.judge([picture])
            answer = as_json(self.model.ranked(said.probabilities), said.unlike)
            maps = self.model.heat_maps if heated else None
            if maps is None:
                return answer
            heat = maps.drawn(picture, int(said.probabilities.argmax()))
            return {**answer, "heat": f"data:image/jpeg;base64,{jpeg(heat)}"}

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"A picture may have {self.limit:,} bytes at most.")


async def _file(path: Path, request: Request) -> Response:
    return FileResponse(path, headers=SECURITY)


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {**SECURITY, **(error.headers or {})}
    if error.status_code in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not waited for
    return JSONResponse({"error": error.detail}, error.status_code, headers=headers)


async def _failed(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback on the terminal; the browser gets one line.
    return JSONResponse({"error": "The server failed; its terminal says why."}, 500)
