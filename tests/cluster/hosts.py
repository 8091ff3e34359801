"""Hosts on one machine: each a network namespace with processes, home and `/tmp/ray` of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NETWORK = "10.77.0"
LAPTOP = f"{NETWORK}.254"
BRIDGE = "tuner-bridge"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
# For Ray on hosts that share few cores: the tests' priority, no worker before it is asked for, no
# threads that spin while they wait, and a lost machine that is missed after some seconds.
THRIFT = {
    "RAY_worker_niceness": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_health_check_period_ms": "1000",
    # A worker that outlives the head asks the next one without a pause, in vain, until it ends.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
LEAN = "--object-store-memory=100000000 --include-log-monitor=false"  # of `ray start`

# Runs as the first process of a host; when it dies, so do all others. The passwd file gives the
# user another home: what a cluster file writes there must not reach the machine's own.
START = """
set -e
mount --bind {folder}/ray /tmp/ray
mount -t tmpfs -o size=512m tmpfs /dev/shm
mount --bind {folder}/passwd /etc/passwd
hostname {name}
ip link set lo up
{sshd} -D -e -f /dev/null -h {keys}/host -o ListenAddress={address} \
    -o AuthorizedKeysFile={keys}/user.pub -o StrictModes=no -o UsePAM=no -o PidFile=none \
    -o PermitRootLogin=yes &
wait  # a first process has to take in the orphans
"""


def missing() -> str | None:
    """Why this machine cannot play several hosts; None if it can."""
    if os.geteuid():
        return "only root may make network namespaces"
    for program, package in {"ip": "iproute2", "rsync": "rsync", "ssh-keygen": "openssh"}.items():
        if shutil.which(program) is None:
            return f"there is no {program} (package {package})"
    if SSHD is None:
        return "there is no sshd (package openssh-server)"
    _run("ip", "netns", "delete", "tuner-probe", check=False)
    if _run("ip", "netns", "add", "tuner-probe", check=False):
        return "the kernel refuses a network namespace"
    _run("ip", "netns", "delete", "tuner-probe")
    return None


@contextlib.contextmanager
def running(folder: Path, count: int) -> Iterator[list[Host]]:
    """Hosts in one network, ended with the context; skips the test where they cannot be."""
    with filelock.FileLock("/tmp/little-data-tuner-hosts.lock"):  # one such network a machine
        if reason := missing():
            pytest.skip(reason)
        try:
            yield start(folder, count)
        finally:
            stop()


@dataclass
class Host:
    """A host that runs sshd."""

    name: str
    address: str
    home: Path
    key: Path
    script: str
    process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """Ends all its processes at once, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def boot(self) -> None:
        """Starts it, also after `kill`: its disk holds what it held, its memory nothing."""
        log = self.home.parent / "sshd.log"
        self.process = subprocess.Popen(
            # Fresh processes and mounts; all of it dies with the process that is started here.
            [
                *("ip", "netns", "exec", self.name),
                *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
                *("--uts", "bash", "-c", self.script),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        for _ in range(50):
            with contextlib.suppress(RuntimeError):
                self.ssh("true")
                return
            time.sleep(0.2)
        self.kill()
        raise RuntimeError(f"{self.name} does not answer: {log.read_text()}")

    def ssh(self, command: str, timeout: float = 300) -> str:
        """Runs a shell command there; what it prints."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
        found = subprocess.run(
            [
                *("ssh", "-q", "-i", str(self.key), "-o", "ConnectTimeout=2"),
                *(word for each in options for word in ("-o", each)),
                *(f"root@{self.address}", command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if found.returncode:
            raise RuntimeError(f"{self.name}: {command}: {found.stdout}")
        return found.stdout

    def processes(self, *starts: str) -> list[int]:
        """Those whose command lines begin so; asked for the price of a few files."""
        pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        found = []
        for pid in pids.stdout.split():
            with contextlib.suppress(OSError):  # it has ended
                if Path(f"/proc/{pid}/cmdline").read_text().startswith(starts):
                    found.append(int(pid))
        return found

    @contextlib.contextmanager
    def paused(self, *starts: str) -> Iterator[None]:
        """In this context processes whose command lines begin so stand still."""
        pids = self.processes(*starts)
        assert pids
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def inside(self, *command: str) -> list[str]:
        """The command line that runs `command` in the host's network."""
        return ["ip", "netns", "exec", self.name, *command]


def start(folder: Path, count: int) -> list[Host]:
    """Starts `count` hosts in one network; `folder/keys/user` opens them all."""
    stop()
    keys = folder / "keys"
    keys.mkdir()
    for name in ("host", "user"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name))
    Path("/run/sshd").mkdir(exist_ok=True)
    Path("/tmp/ray").mkdir(exist_ok=True)
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "add", f"{LAPTOP}/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    return [_start(folder, keys, number) for number in range(count)]


def _start(folder: Path, keys: Path, number: int) -> Host:
    name, address = f"tuner-{number}", f"{NETWORK}.{number + 1}"
    mine = folder / name
    home = mine / "home"
    (mine / "ray").mkdir(parents=True)
    _environment(home)
    lines = Path("/etc/passwd").read_text().splitlines()
    root = f"root:x:0:0:root:{home}:/bin/bash"
    lines = [root if line.startswith("root:") else line for line in lines]
    (mine / "passwd").write_text("\n".join(lines) + "\n")
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", f"tuner-v{number}", "type", "veth", "peer", "eth0", "netns", name)
    _run("ip", "link", "set", f"tuner-v{number}", "master", BRIDGE, "up")
    _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    _run("ip", "-n", name, "link", "set", "eth0", "up")
    _run("ip", "-n", name, "route", "add", "default", "via", LAPTOP)
    script = START.format(folder=mine, keys=keys, name=name, address=address, sshd=SSHD)
    host = Host(name, address, home, keys / "user", script)
    host.boot()
    return host


def _environment(home: Path) -> None:
    """The packages of these tests, as if the cluster file's commands had installed them."""
    venv = home / "venv"
    venv.mkdir(parents=True)
    for each in Path(sys.prefix).iterdir():
        (venv / each.name).symlink_to(each)
    shutil.copy(ROOT / "constraints.txt", venv)


def stop() -> None:
    """Ends all hosts, also those that an earlier run may have left."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        if line.startswith("tuner-"):
            name = line.split()[0]
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for pid in pids.stdout.split():
                with contextlib.suppress(ProcessLookupError):  # went with its first process
                    os.kill(int(pid), 9)
            _run("ip", "netns", "delete", name)
    # A namespace is gone some time after its last process; its link would be in the next one's way.
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True)
    for line in links.stdout.splitlines():
        if line.startswith((BRIDGE, "tuner-v")):
            _run("ip", "link", "delete", line.split()[0].split("@")[0], check=False)


def _run(*command: str, check: bool = True) -> int:
    found = subprocess.run(command, capture_output=True, text=True)
    if check and found.returncode:
        raise RuntimeError(f"{' '.join(command)}: {found.stderr}")
    return found.returncode
