"""Who is answered where the server listens to other machines: who has the token."""

from __future__ import annotations

import base64
import binascii
import secrets

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HEALTH = "/health"  # says nothing that is worth hiding, and is asked by who has no token


class Guard:
    """Answers requests that bring the token, and others with 401.

    Programs bring it as `Authorization: Bearer TOKEN`; a browser asks for a password, which it is.

    Args:
        app: The application behind it.
        token: The token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by the server."""
        if scope["type"] == "http" and scope["path"] != HEALTH:
            given = _token(Headers(scope=scope).get("authorization", ""))
            if not secrets.compare_digest(given, self.token):
                refused = JSONResponse(
                    {"error": "Bring the token, as Authorization: Bearer TOKEN."},
                    401,
                    {"WWW-Authenticate": 'Basic realm="the token is the password"'},
                )
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _token(header: str) -> bytes:
    kind, _, given = header.partition(" ")
    if kind.lower() == "bearer":
        return given.strip().encode()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
