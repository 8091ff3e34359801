"""How the application is served: connections, their number, and how long they may dawdle."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 30.0  # seconds for a request's headers, and again for its body
KEEP_ALIVE = 5  # seconds that an idle connection stays open, and that the end may take
CONNECTIONS = 64  # at a time; more get 503


class _Patient(H11Protocol):
    """Ends a connection that brings no request in time; uvicorn itself would wait for ever.

    That is one without any, and one with half of its next.
    """

    patience = PATIENCE
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(self.patience, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if begun and self._end is None:
            self._end = self.loop.call_later(self.patience, self.transport.close)
        elif not begun and self._end is not None:
            self._end.cancel()
            self._end = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()


def _is_news(record: logging.LogRecord) -> bool:
    return "concurrency limit" not in record.getMessage()


def server(application: Starlette, patience: float = PATIENCE) -> uvicorn.Server:
    """A server that is ready to `run`.

    Args:
        application: The application that answers.
        patience: Seconds that the headers of a request may take.
    """
    # Each client that is sent away would be a line on the terminal.
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    protocol = type("Patient", (_Patient,), {"patience": patience})
    return uvicorn.Server(
        uvicorn.Config(
            application,
            http=cast(type[asyncio.Protocol], protocol),
            ws="none",
            lifespan="off",  # there is none, and Ctrl-C would print a traceback of it
            log_level="warning",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=KEEP_ALIVE,
            server_header=False,
            proxy_headers=False,
        )
    )
