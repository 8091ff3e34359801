"""Who writes to a run in an object store: one search at a time, on whatever machine it runs."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.records.run_folder import RunFolder

NAME = "claim.json"
BEAT = 5.0  # seconds between two signs of life
SILENCE = 30.0  # seconds without one, after which a claim is anybody's

log = logging.getLogger(__name__)


@dataclass
class Claim:
    """A search's claim to a run.

    Attributes:
        place: The object that holds it.
        owner: The search, unlike any other.
        lost: Whether another search has taken the run over, while the store was away for this one.
    """

    place: ObjectPath
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    lost: bool = False

    def content(self, beat: int = 0) -> bytes:
        """What the object holds, another thing at each sign of life."""
        who = {"owner": self.owner, "host": platform.node(), "process": os.getpid(), "beat": beat}
        return json.dumps(who).encode()


@contextmanager
def claimed(folder: RunFolder) -> Iterator[Claim | None]:
    """In this context no other search writes to the run; None where it is in no store.

    A search that was killed gives no more signs of life; its claim is taken over after `SILENCE`
    seconds, at once if it ran on this machine.

    Raises:
        UserError: If another search is alive.
    """
    if folder.counterpart is None:
        yield None
        return
    claim = Claim(folder.counterpart / NAME)
    _take(claim, folder)
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(claim, over), daemon=True)
    heart.start()
    try:
        yield claim
    finally:
        over.set()
        heart.join()
        if not claim.lost:
            with suppress(OSError):
                claim.place.remove()


def _take(claim: Claim, folder: RunFolder) -> None:
    seen, since, warned = b"", time.monotonic(), False
    while not claim.place.create(claim.content()):
        try:
            found = claim.place.read()
        except FileNotFoundError:
            continue  # its owner has just ended
        if _is_dead(found) or (found == seen and time.monotonic() - since > SILENCE):
            claim.place.remove()
            continue
        if found != seen and seen:
            host = json.loads(found).get("host")
            raise UserError(
                f"Another search is at work on {folder.counterpart}, on {host}; wait for its end."
            )
        if not warned:
            warned = True
            log.info(
                "%s was written to by a search that did not end; waiting %.0f s at most to see "
                "whether it is alive",
                folder.counterpart,
                SILENCE,
            )
        seen = found
        time.sleep(1)


def _is_dead(content: bytes) -> bool:
    """Whether it is the claim of a process that was killed on this machine, or none at all."""
    try:
        who = json.loads(content)
        if who["host"] != platform.node():
            return False
        os.kill(who["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # another user's
    except (ValueError, KeyError, TypeError):
        return True
    return False


def _beat(claim: Claim, over: threading.Event) -> None:
    beat = 0
    while not over.wait(BEAT):
        beat += 1
        with suppress(OSError):  # a store that is away comes back, perhaps
            try:
                claim.lost = json.loads(claim.place.read()).get("owner") != claim.owner
            except FileNotFoundError:
                claim.lost = True  # taken over, and ended since
            if claim.lost:
                log.warning("Another search has taken over %s; this one ends.", claim.place)
                return
            claim.place.write(claim.content(beat))
