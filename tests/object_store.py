"""Object stores on loopback, or on another address of this machine, with one bucket each."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator

import boto3
import pytest
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

BUCKET = "little-data"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class ObjectStore(ABC):
    """Can be away for a while and then holds what it held."""

    scheme: str
    user = ""

    def __init__(self, address: str) -> None:
        self.address = address
        with socket.create_server((address, 0)) as probe:
            self.port = probe.getsockname()[1]
        self.up()

    def url(self, folder: str) -> str:
        """As a user gives it."""
        query = f"endpoint_override={self.address}:{self.port}&scheme=http"
        return f"{self.scheme}://{self.user}{BUCKET}/{folder}?{query}"

    @abstractmethod
    def up(self) -> None:
        """Starts the server, anew after `down`."""

    def down(self) -> None:
        self.server.stop()


class Amazon(ObjectStore):
    """S3, played by moto, in whose memory the objects are."""

    scheme = "s3"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        client = boto3.client("s3", endpoint_url=f"http://{address}:{self.port}")
        client.create_bucket(Bucket=BUCKET)

    def up(self) -> None:
        self.server = ThreadedMotoServer(self.address, self.port, verbose=False)
        self.server.start()


class Google(ObjectStore):
    """Google Cloud Storage, played by an emulator that keeps the objects in files."""

    scheme = "gs"
    user = "anonymous@"

    def __init__(self, address: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        super().__init__(address)

    def up(self) -> None:
        self.server = create_server(
            self.address, self.port, data_dir=self.folder.name, default_bucket=BUCKET
        )
        self.server.start()


@contextlib.contextmanager
def running(kind: type[ObjectStore], address: str = "127.0.0.1") -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        store = kind(address)
        yield store
        store.down()
