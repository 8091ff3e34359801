"""A PostgreSQL server of Debian's package, on loopback, that can be away for a while."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


def server_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Server:
    """A server with a database `postgres` of the user `tuner`, in a folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        # The server refuses to run as root.
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        user = user if os.geteuid() == 0 else []
        password = folder / "password"
        password.write_text("s3cret")
        if user:
            for each in (folder, *folder.parents[:-2]):
                each.chmod(0o755)
            for each in (folder, password):
                shutil.chown(each, "nobody", "nogroup")
        data = folder / "data"
        init = ["-D", data, "-U", "tuner", "--auth=scram-sha-256", f"--pwfile={password}"]
        subprocess.run([*user, programs / "initdb", *init], check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.log = folder / "log"
        self.options = f"-p {self.port} -c listen_addresses=127.0.0.1"
        self.options += f" -c unix_socket_directories={folder}"
        self.control = [*user, programs / "pg_ctl", "-D", data, "-w"]
        self.up()

    @property
    def url(self) -> str:
        """As a user gives it."""
        return f"postgresql://tuner:s3cret@127.0.0.1:{self.port}/postgres"

    def database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = f"d{uuid.uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    def up(self) -> None:
        """Starts it, anew after `down`."""
        start = ["-l", self.log, "-o", self.options, "start"]
        subprocess.run([*self.control, *start], check=True, capture_output=True)

    def down(self) -> None:
        """Ends it as when its machine is lost."""
        subprocess.run([*self.control, "-m", "immediate", "stop"], check=True, capture_output=True)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server in a folder; where there is none and none can be had the test is skipped."""
    programs = server_programs()
    if programs is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", "-qq", *command], capture_output=True, check=False)
        programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed and cannot be: no apt-get as root")
    server = Server(folder, programs)
    try:
        yield server
    finally:
        server.down()
