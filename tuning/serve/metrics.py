"""Figures of the server for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client import generate_latest as as_text
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAME = "little_data_tuner"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # a picture's, decoded and judged


class Metrics:
    """What is counted.

    Attributes:
        requests: Answers by their HTTP status.
        judged: Seconds of decoding and judging a picture, the wait for one's turn not among them.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            f"{NAME}_requests", "Answers by HTTP status.", ["status"], registry=self._registry
        )
        self.judged = Histogram(
            f"{NAME}_picture_seconds",
            "Seconds of decoding and judging a picture.",
            buckets=SECONDS,
            registry=self._registry,
        )

    async def answer(self, request: Request) -> Response:
        """All of it, as Prometheus reads it."""
        return Response(as_text(self._registry), media_type=CONTENT_TYPE_LATEST)


class Counted:
    """Counts the answers of the application behind it.

    Args:
        app: The application.
        metrics: What counts them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by the server."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(message["status"]).inc()
            await send(message)

        await self.app(scope, receive, counted)
