"""Locks of entries that are built, across a Ray cluster: one named actor leases them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

NAME, NAMESPACE = "rights-to-build", "little-data-tuner"
LEASE = 9.0  # seconds that a lock lasts unless its holder renews it
RENEWAL = 2.0  # seconds between renewals
POLL = 0.5  # seconds between two requests of who waits


class LeaseServer:
    """Knows who holds which lock, and until when. Runs as an actor, one a cluster."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, float]] = {}  # name → holder, end of lease

    def request(self, name: str, holder: str) -> bool:
        """Gives or renews a lock; whether `holder` has it now."""
        now = time.monotonic()
        owner, until = self._held.get(name, (holder, now))
        if owner != holder and now < until:
            return False
        self._held[name] = (holder, now + LEASE)
        return True

    def release(self, name: str, holder: str) -> None:
        """Gives a lock back."""
        if self._held.get(name, ("", 0.0))[0] == holder:
            del self._held[name]


@dataclass(frozen=True)
class LeasedLocks:
    """Locks among all processes of a Ray cluster, see `locks.BuildLocks`.

    A holder renews its lock as long as it lives; who dies loses it within `LEASE` seconds. The
    actor outlives a search, so that searches on one cluster share it, but not its machine.
    """

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """See `locks.BuildLocks`."""
        holder = uuid.uuid4().hex
        while not _ask("request", name, holder):
            time.sleep(POLL)
        over = threading.Event()

        def renew() -> None:
            while not over.wait(RENEWAL):
                _ask("request", name, holder)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            _ask("release", name, holder)


def _ask(method: str, name: str, holder: str) -> bool:
    while True:
        server = (
            ray.remote(LeaseServer)
            .options(
                name=NAME,
                namespace=NAMESPACE,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
            )
            .remote()
        )
        try:
            return bool(ray.get(getattr(server, method).remote(name, holder)))
        except ray.exceptions.RayActorError:
            # Its machine is lost. Ray does not restart an actor of a search that has ended, so who
            # asks next makes a new one, of which locks are asked for anew.
            time.sleep(POLL)
