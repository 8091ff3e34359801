"""A run folder's counterpart in an object store, kept up to date while the search goes on."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType

from tuning.errors import UserError
from tuning.files.object_store import ObjectPath, in_parallel, reason
from tuning.records.callbacks import RunCallback
from tuning.records.claim import NAME, Claim
from tuning.records.run_folder import CHECKPOINTS, TRIALS, TUNE, WEIGHTS, RunFolder
from tuning.records.trial_log import TrialRecord

WORKERS = (f"{WEIGHTS}/", f"{CHECKPOINTS}/")  # written by workers, who send them themselves
LARGE = f"{TUNE}/"  # Ray Tune's logs: sent at the end, never needed to go on
PAUSE = 5.0  # seconds between two sendings, unless a trial ends

log = logging.getLogger(__name__)


class Mirror(RunCallback):
    """Sends what is new in a run folder.

    What happens to trials is sent the moment one is over, so that a machine that takes the run
    over, when this one is lost, has nothing to do again. As a context it sends all in the end.

    Args:
        folder: The run folder; where it has no counterpart there is nothing to do.
        claim: The claim to it; when it is lost nothing is sent any more.
    """

    def __init__(self, folder: RunFolder, claim: Claim | None = None) -> None:
        self.folder = folder.path
        self.place, self.claim = folder.counterpart, claim
        self._sent: dict[str, tuple[int, int]] = {}  # bytes and time of what the store has
        self._pool = ThreadPoolExecutor(1)
        self._waiting: Future[None] | None = None
        self._last = 0.0

    def __enter__(self) -> Mirror:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
        if self.place:
            self._send(self.place, skip=())

    def start(self, record: TrialRecord) -> None:
        """A trial begins."""
        self._send_if(due=False)

    def epoch(self, record: TrialRecord) -> None:
        """A trial has finished an epoch."""
        self._send_if(due=False)

    def end(self, record: TrialRecord) -> None:
        """A trial is over."""
        self._send_if(due=True)

    def close(self) -> None:
        """What workers wrote is brought here, for the report."""
        self.bring(f"{WEIGHTS}/")

    def _send_if(self, due: bool) -> None:
        if not self.place:
            return
        due = due or time.monotonic() - self._last > PAUSE
        waits = self._waiting and not self._waiting.running() and not self._waiting.done()
        if due and not waits:
            self._last = time.monotonic()
            self._waiting = self._pool.submit(self._send, self.place, (*WORKERS, LARGE))

    def bring(self, *names: str) -> None:
        """Copies files here that begin with one of these names, or all that a run goes on with.

        Raises:
            UserError: If they cannot be had.
        """
        if not self.place:
            return
        place = self.place
        try:
            files = place.files()
            wanted = [n for n in files if n.startswith(names or "") and ".." not in n.split("/")]
            wanted = [each for each in wanted if each != NAME]
            if not names:
                wanted = [n for n in wanted if not n.startswith((*WORKERS, LARGE))]
                if self._knows_more(files):
                    return
            in_parallel(lambda name: (place / name).download(self.folder / name), wanted)
        except OSError as error:
            raise UserError(f"{place} cannot be read: {reason(error)}.") from None
        for name in wanted:
            self._sent[name] = _state(self.folder / name)

    def _knows_more(self, files: dict[str, tuple[int, int]]) -> bool:
        """Whether the store was away when this machine last wrote to the run."""
        events = self.folder / TRIALS  # which only grows
        theirs = files.get(TRIALS, (0, 0))[0]
        return events.exists() and events.stat().st_size > theirs

    def _send(self, place: ObjectPath, skip: tuple[str, ...]) -> None:
        if self.claim and self.claim.lost:
            return
        try:
            # As it is before the study is copied, and sent after it: what the study knows more is
            # made good by `study.reconcile`, but a trial that only the log knows would be
            # proposed once more, as another.
            written = self._trial_log()
            changed = self._changed(skip)
            for name in filter(_is_database, changed):
                self._send_one(place, name)
            files = [each for each in changed if not _is_database(each) and each != TRIALS]
            in_parallel(lambda name: self._send_one(place, name), files)
            if written and self._sent.get(TRIALS) != written[0]:
                (place / TRIALS).write(written[1])
                self._sent[TRIALS] = written[0]
            if not skip:
                for name in place.files():
                    # Weights of trials that are not among the best.
                    if name.startswith(f"{WEIGHTS}/") and not (self.folder / name).exists():
                        (place / name).remove()
        except OSError as error:
            log.warning("%s is behind %s: %s", place, self.folder, reason(error))

    def _trial_log(self) -> tuple[tuple[int, int], bytes] | None:
        file = self.folder / TRIALS
        return (_state(file), file.read_bytes()) if file.exists() else None

    def _changed(self, skip: tuple[str, ...]) -> list[str]:
        found = []
        for file in self.folder.rglob("*"):
            name = file.relative_to(self.folder).as_posix()
            if file.name.startswith(".") or name.startswith(skip):
                continue
            with suppress(FileNotFoundError):  # a draft, which took its place in the meantime
                if file.is_file() and self._sent.get(name) != _state(file):
                    found.append(name)
        return found

    def _send_one(self, place: ObjectPath, name: str) -> None:
        file = self.folder / name
        if not file.exists():
            return  # a draft, see `_changed`
        state = _state(file)
        if _is_database(name):
            with tempfile.NamedTemporaryFile(suffix=file.suffix) as copy:
                with (
                    closing(sqlite3.connect(file)) as source,
                    closing(sqlite3.connect(copy.name)) as target,
                ):
                    source.backup(target)
                (place / name).upload(Path(copy.name))
        else:
            (place / name).upload(file)
        self._sent[name] = state


def _is_database(name: str) -> bool:
    # While SQLite writes to one, a copy of the file may be torn.
    return name.endswith(".db")


def _state(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns
