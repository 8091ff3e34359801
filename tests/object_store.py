"""An S3 server on loopback, or on another address of this machine, with one bucket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "little-data"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class ObjectStore:
    """Can be away for a while; what it holds lives in this process."""

    def __init__(self, address: str) -> None:
        self.address = address
        with socket.create_server((address, 0)) as probe:
            self.port = probe.getsockname()[1]
        self.up()
        self.client.create_bucket(Bucket=BUCKET)

    @property
    def client(self):
        return boto3.client("s3", endpoint_url=f"http://{self.address}:{self.port}")

    def url(self, folder: str) -> str:
        """As a user gives it."""
        query = f"endpoint_override={self.address}:{self.port}&scheme=http"
        return f"s3://{BUCKET}/{folder}?{query}"

    def up(self) -> None:
        self.server = ThreadedMotoServer(self.address, self.port, verbose=False)
        self.server.start()

    def down(self) -> None:
        self.server.stop()


@contextlib.contextmanager
def running(address: str = "127.0.0.1") -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        store = ObjectStore(address)
        yield store
        store.down()
