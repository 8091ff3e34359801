"""Where a study is stored: SQLite, PostgreSQL, MySQL or a journal file."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from tuning.errors import UserError, one_line
from tuning.options.option import MASK, masked

PATIENCE = 60.0  # seconds for a database that somebody else holds, or that is away
ATTEMPT = 5.0  # seconds that SQLite waits in one attempt, and after which the wait is told
LINE = 1 << 20  # characters, of a journal
PAUSE = 0.5  # seconds between attempts at one that answers at once

log = logging.getLogger(__name__)

Storage: TypeAlias = BaseStorage

DRIVERS = {"postgresql": "psycopg[binary]", "mysql": "pymysql"}


def open_storage(where: str) -> BaseStorage:
    """Opens a storage: a database by its URL, or a journal file by its path.

    Raises:
        UserError: Why it cannot be opened, without its password.
    """
    if "://" not in where:
        path = Path(where).expanduser().absolute()
        return _journal(path)
    if f":{MASK}@" in where:
        raise UserError(f"The password of {where} is not kept in settings; give --storage again.")
    kind = where.partition(":")[0].partition("+")[0]
    # A connection that a database closed in the meantime is opened again.
    engine: dict[str, Any] = {"pool_pre_ping": True}
    if kind == "sqlite":
        # Not its write-ahead log, which network file systems cannot have.
        engine = {"connect_args": {"timeout": ATTEMPT}}
    driven = where
    for plain, driver in (
        ("mysql://", "mysql+pymysql://"),
        ("postgresql://", "postgresql+psycopg://"),
    ):
        driven = driven.replace(plain, driver, 1)
    try:
        return _patient(kind)(driven, engine_kwargs=engine)
    except ImportError:
        package = DRIVERS.get(kind, kind)
        raise UserError(
            f"--storage {masked(where)} needs the package {package}: pip install {package}"
        ) from None
    except sqlalchemy.exc.NoSuchModuleError:
        raise UserError(
            f"The storage {masked(where)} is of an unknown kind; give postgresql://…, mysql://…, "
            "sqlite:///FILE, or a journal's path."
        ) from None
    except Exception as error:
        # SQLAlchemy's and the drivers' own, of many kinds; their first line says what is wrong.
        reason = str(error).splitlines()[0].replace(where, masked(where))
        raise UserError(f"The storage {masked(where)} cannot be opened: {reason}") from None


def name_in(store: BaseStorage, folder: str) -> str:
    """The name of the study in the storage of a run folder of this name.

    That is the folder's own, but where it was renamed after its run began.
    """
    names = optuna.get_all_study_names(store)
    return names[0] if len(names) == 1 else folder


def _journal(path: Path) -> JournalStorage:
    if not path.parent.is_dir():
        raise UserError(f"The folder of the storage {path} does not exist.")
    if path.exists() and not path.is_file():
        raise UserError(f"The storage {path} is no file.")
    try:
        if path.exists():
            with path.open(encoding="utf-8") as file:  # before Optuna appends to it
                if line := file.readline(LINE):
                    json.loads(line)["op_code"]
        return JournalStorage(JournalFileBackend(str(path)))  # reads it
    except OSError as error:
        raise UserError(f"The storage {path} cannot be opened: {error.strerror}.") from None
    except Exception as error:
        # Optuna takes each line for JSON with the keys that it needs.
        raise UserError(
            f"The storage {path} is no journal of Optuna's, or is damaged: {one_line(error)}; a "
            "database is given by its URL, as sqlite:///FILE."
        ) from None


def _patient(kind: str) -> type[RDBStorage]:
    """A database that may be held by another process, or be away, for `PATIENCE` seconds.

    What fails so has changed nothing, and is tried again. After that the error is told as it is. A
    server that does not answer when it is opened is more likely a wrong address.
    """
    opened = ("__init__",) if kind == "sqlite" else ()
    methods = {
        name: _waiting(method)
        for name, method in vars(RDBStorage).items()
        if inspect.isfunction(method) and (name in opened or not name.startswith("__"))
    }
    return type("PatientStorage", (RDBStorage,), methods)


_call = threading.local()  # whether this thread is inside a method that waits


def _waiting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: RDBStorage, *args: Any, **options: Any) -> Any:
        if getattr(_call, "waits", False):
            return method(self, *args, **options)  # the outermost begins anew
        began, warned = time.monotonic(), False
        _call.waits = True
        try:
            while True:
                try:
                    return method(self, *args, **options)
                except (StorageInternalError, sqlalchemy.exc.OperationalError) as error:
                    waited = time.monotonic() - began
                    if waited > PATIENCE or not _may_pass(error):
                        raise
                    if waited >= ATTEMPT and not warned:
                        warned = True
                        log.warning(
                            "The study's database is held by another process or is away; the "
                            "search waits for it, %.0f s at most",
                            PATIENCE,
                        )
                time.sleep(PAUSE)
        finally:
            _call.waits = False

    return call


def _may_pass(error: BaseException) -> bool:
    """Whether a database that was there a moment ago may be there again soon."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, sqlalchemy.exc.OperationalError):
            said = str(found.orig).lower()
            lasting = ("readonly", "no such table", "disk i/o", "full", "unable to open")
            return not any(each in said for each in lasting)
        found = found.__cause__
    return False
