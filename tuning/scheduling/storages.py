"""Where a study is stored: SQLite, PostgreSQL, MySQL or a journal file."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from tuning.errors import UserError
from tuning.options.option import MASK, masked

DRIVERS = {"postgresql": "psycopg[binary]", "mysql": "pymysql"}


def open_storage(where: str) -> BaseStorage:
    """Opens a storage: a database by its URL, or a journal file by its path.

    Raises:
        UserError: Why it cannot be opened, without its password.
    """
    if "://" not in where:
        path = Path(where).expanduser().absolute()
        if not path.parent.is_dir():
            raise UserError(f"The folder of the storage {path} does not exist.")
        return JournalStorage(JournalFileBackend(str(path)))
    if f":{MASK}@" in where:
        raise UserError(f"The password of {where} is not kept in settings; give --storage again.")
    kind = where.partition(":")[0].partition("+")[0]
    # A connection that a database closed in the meantime is opened again.
    engine = {} if kind == "sqlite" else {"pool_pre_ping": True}
    driven = where
    for plain, driver in (
        ("mysql://", "mysql+pymysql://"),
        ("postgresql://", "postgresql+psycopg://"),
    ):
        driven = driven.replace(plain, driver, 1)
    try:
        return RDBStorage(driven, engine_kwargs=engine)
    except ImportError:
        package = DRIVERS.get(kind, kind)
        raise UserError(
            f"--storage {masked(where)} needs the package {package}: pip install {package}"
        ) from None
    except Exception as error:
        # SQLAlchemy's and the drivers' own, of many kinds; their first line says what is wrong.
        reason = str(error).splitlines()[0].replace(where, masked(where))
        raise UserError(f"The storage {masked(where)} cannot be opened: {reason}") from None
