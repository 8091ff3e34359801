"""The Ray cluster: joining it, or starting Ray on this machine alone."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from tuning.cluster import ray_private
from tuning.cluster.resources import await_first_worker, has_gpu
from tuning.errors import UserError
from tuning.process import backend

ROOT = Path(__file__).resolve().parents[2]
OURS = (ROOT / "tuning", ROOT / "models", ROOT / "search_spaces")


@contextlib.contextmanager
def connected(address: str | None, dashboard: bool = False) -> Iterator[str | None]:
    """Ray in this context, see `connect`; a Ray that was there before is taken, and stays.

    One on this machine alone leaves its logs behind only where an error ends the context.

    Raises:
        UserError: As `connect`; or an address is given where this process has a Ray already.
    """
    if ray.is_initialized():
        if address is not None:
            raise UserError(
                f"Ray runs in this process already: --address {address} would not be heard. Leave "
                "it away to search there, or call ray.shutdown() first."
            )
        _set_up_tune()
        yield None
        return
    with contextlib.ExitStack() as stack:
        stack.callback(ray.shutdown)
        if address is None:
            stack.callback(ray_private.stay_on_loopback())
        url = connect(address, dashboard)
        logs = ray_private.session_folder() if address is None else None
        yield url
    if logs is not None:
        shutil.rmtree(logs, ignore_errors=True)


def computes_on_gpus(address: str | None) -> bool:
    """Whether trials would run on GPUs there; a cluster is joined for as long as that takes.

    Args:
        address: A cluster's address, None for this machine alone.

    Raises:
        UserError: As `connect`.
    """
    if address is None and not ray.is_initialized():
        return backend.has_card()
    with connected(address):
        return has_gpu()


def connect(address: str | None, dashboard: bool = False) -> str | None:
    """Joins the cluster at `address`, or starts Ray on this machine alone.

    The packages travel with Ray's runtime environment, so no node needs them installed. A Ray on
    this machine alone listens on loopback, and keeps its files where other users cannot look.

    Args:
        address: A cluster's address, None for this machine alone.
        dashboard: Whether a Ray on this machine alone has its dashboard, on loopback too.

    Returns:
        The dashboard's URL, None where it was not asked for or a cluster has its own.

    Raises:
        UserError: If there is no cluster at `address`, or it does not let us in.
    """
    _set_up_tune()
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    place: dict[str, Any] = {"address": address}
    if address is None:
        ray_private.stay_on_loopback()
        _keep_token()
        # By this name also where RAY_ADDRESS points to a cluster.
        place = {"address": "local", "_temp_dir": str(_own_folder())}
        place |= {"include_dashboard": dashboard, "dashboard_host": "127.0.0.1"}
    try:
        if address:
            _knock(address)
        with ray_private.own_signals(), ray_private.only_what_is_used(dashboard):
            ray.init(
                **place,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                runtime_env={
                    "py_modules": [str(each) for each in OURS],
                    "env_vars": backend.of_workers(),
                },
            )
    except (OSError, ValueError, ray.exceptions.AuthenticationError) as error:
        if not address:
            raise
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UserError(f"No Ray cluster at --address {address} to join: {reason}.") from error
    if address:
        await_first_worker()
    return ray_private.dashboard_url() if dashboard and not address else None


def _set_up_tune() -> None:
    """Sets what Ray Tune reads in this process, whoever has started Ray."""
    # Ray's own lines would drown ours; what concerns the user is said by us.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_SYNCER"] = "1"
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a failed trial has none
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # the search ends itself
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"


def _knock(address: str) -> None:
    """Raises `OSError` where nobody answers; Ray would go on trying for minutes."""
    found = ray_private.find_address(address)
    if found is None:
        raise ConnectionError("none runs on this machine")
    host, colon, port = found.rpartition(":")
    if colon and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _keep_token() -> None:
    """Makes the token that Ray asks every process for; Ray would let all users read it."""
    file = Path.home() / ".ray" / "auth_token"
    # Where it cannot be written Ray says so itself.
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as opened:
                opened.write(secrets.token_hex(32))
        file.chmod(0o600)


def _own_folder() -> Path:
    """Where Ray puts logs and sockets; it makes them readable and writable for all."""
    # Not under TMPDIR: a socket's path has at most 107 characters.
    folder = Path("/tmp") / f"little-data-tuner-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:  # somebody was here first
        folder = Path(tempfile.mkdtemp(prefix="tuner-", dir="/tmp"))
    return folder / "ray"
