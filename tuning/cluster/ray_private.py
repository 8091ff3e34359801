"""The one place that touches what is private in Ray (2.60).

That is `ray._private.services.canonicalize_bootstrap_address`, `ray._private.ray_constants`
(`ENABLE_RAY_CLUSTERS_ENV_VAR`, `ENABLE_RAY_CLUSTER`), `ray._private.worker.get_dashboard_url` and
`._global_node`, `ray._private.parameter.RayParams`, `ray._private.node.Node.start_api_server`,
`ray._private.services.start_ray_process`, `ray._raylet.persist_port` with the names of an agent's
ports, and `ray.air._internal.usage.tag_callbacks`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ray._private import parameter, ray_constants, services, worker
from ray._private.node import Node
from ray._raylet import (  # type: ignore[attr-defined]
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    persist_port,
)

_AHEAD = "RAY_prestart_worker_first_driver"
_AGENT = "--dashboard_agent_command="
_PORTS = METRICS_AGENT_PORT_NAME, METRICS_EXPORT_PORT_NAME, DASHBOARD_AGENT_LISTEN_PORT_NAME


def find_address(address: str) -> str | None:
    """Host and port of a cluster's head; of `auto`, of the one that runs here, None for none."""
    found: str | None = services.canonicalize_bootstrap_address(address)
    return found


def stay_on_loopback() -> Callable[[], None]:
    """Lets a Ray that is started here listen on loopback alone; returns what takes that back."""
    # Ray does so of itself on macOS and Windows, and has no other switch for it.
    before = ray_constants.ENABLE_RAY_CLUSTER
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False

    def take_back() -> None:
        os.environ.pop(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, None)
        ray_constants.ENABLE_RAY_CLUSTER = before

    return take_back


@contextmanager
def only_what_is_used(dashboard: bool) -> Iterator[None]:
    """A Ray that is started in this context lacks processes that none of ours has a use for.

    These are the log monitor, since workers' lines are not shown; the autoscaler's, since there is
    one machine; the server of what a dashboard shows, and the agent that gathers it; and idle
    workers, whose environment is not the one that ours have.

    Args:
        dashboard: Whether there is a dashboard.
    """
    params, serve, ahead = parameter.RayParams, Node.start_api_server, os.environ.get(_AHEAD)
    begin = services.start_ray_process
    parameter.RayParams = partial(params, include_log_monitor=False, no_monitor=True)
    if not dashboard:
        Node.start_api_server = lambda self, **options: None
        services.start_ray_process = lambda command, *given, **options: begin(
            [_without_agent(each) for each in command], *given, **options
        )
    os.environ[_AHEAD] = ahead or "0"
    try:
        yield
    finally:
        parameter.RayParams, Node.start_api_server = params, serve
        services.start_ray_process = begin
        if ahead is None:
            del os.environ[_AHEAD]


def _without_agent(argument: str) -> str:
    """An argument of a process of Ray's; in place of the agent's command, one that does nothing.

    A node of Ray's waits for an agent's ports, and ends with its agent; a port of -1 is none.
    """
    if not argument.startswith(_AGENT):
        return argument
    named = dict(re.findall(r"--(node-id|session-dir)=(\S+)", argument))
    for name in _PORTS:
        persist_port(named["session-dir"], named["node-id"], name, -1)
    return _AGENT + subprocess.list2cmdline([sys.executable, "-IS", "-"])  # reads until Ray ends


@contextmanager
def callbacks_uncounted() -> Iterator[None]:
    """Ray Tune does not count callbacks by kind in this context.

    To count them it imports MLflow and W&B wherever they are installed, which takes two seconds.
    """
    from ray.air._internal import usage

    before = usage.tag_callbacks
    usage.tag_callbacks = lambda callbacks: False
    try:
        yield
    finally:
        usage.tag_callbacks = before


@contextmanager
def own_signals() -> Iterator[None]:
    """SIGTERM does after this context what it did before; `ray.init` has it end the process.

    Raises:
        KeyboardInterrupt: If it came meanwhile.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        if error.code == signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise
    finally:
        if is_main and handler is not None:
            signal.signal(signal.SIGTERM, handler)


def dashboard_url() -> str | None:
    """Where the dashboard of the connected Ray listens, None without one."""
    found = worker.get_dashboard_url()
    return f"http://{found}" if found else None


def session_folder() -> Path | None:
    """Where a Ray that this process started keeps its logs and sockets, None without one."""
    node = worker._global_node
    return Path(node.get_session_dir_path()) if node else None
