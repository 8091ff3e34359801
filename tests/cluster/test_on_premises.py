"""`clusters/on_premises.yaml` with three hosts, real sshd, real `ray up`, real jobs.

The GPUs are pretended: trials are placed by them, and train on the CPU.
"""

from __future__ import annotations

import json
import operator
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hosts
import pytest
import yaml
from hosts import LAPTOP, LEAN, ROOT, THRIFT, Host
from object_store import KEYS, Amazon, running

from tuning.features.stores import HEADER
from tuning.files.object_store import ObjectPath
from tuning.records.event_log import EventLog
from tuning.records.facts import check
from tuning.records.mirror import Mirror
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import OVER, read_trials

pytestmark = pytest.mark.slow

WORKERS = 2
EPOCHS = 9  # of a trial that is amid them when its worker is lost
TRAINING = ("ray::Worker", "ray::ResourceTrainable")  # a process between two steps, and in one
HANGING = 600  # seconds: a slow machine, and tests beside this one, need a third of it
WAIT = """
import ray, time
ray.init("auto", log_to_driver=False)
until = time.monotonic() + 280
while ray.cluster_resources().get("GPU", 0) < {gpus}:
    assert time.monotonic() < until, ray.nodes()
    time.sleep(1)
"""


class Cluster:
    """A cluster of hosts, and the commands of who uses it from a laptop."""

    def __init__(self, folder: Path, running: list[Host]) -> None:
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.hosts = running
        self.home = folder / "laptop"
        token = self.home / ".ray" / "auth_token"
        token.parent.mkdir(parents=True)
        token.write_text("0123456789abcdef" * 2)
        self.file = folder / "cluster.yaml"
        self.file.write_text(yaml.safe_dump(self._filled_in()))

    def _filled_in(self) -> dict[str, object]:
        text = (ROOT / "clusters" / "on_premises.yaml").read_text()
        # GPUs where there are none, and keys for the object store where machines have no role.
        variables = KEYS | THRIFT
        keys = " ".join(f"{name}={value}" for name, value in variables.items())
        text = text.replace(
            "ray start --address", "ray start --num-gpus=1 --num-cpus=1 --address"
        ).replace("ray start ", f"env {keys} ray start {LEAN} ")
        found = yaml.safe_load(text.replace("/shared", str(self.shared)))
        found["provider"]["head_ip"] = self.hosts[0].address
        found["provider"]["worker_ips"] = [host.address for host in self.hosts[1:]]
        found["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.hosts[0].key)}
        assert isinstance(found, dict)
        return found

    def ray(self, *arguments: str, timeout: float = 300) -> str:
        """Runs `ray` on the laptop, in the project's folder; what it prints."""
        found = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", *arguments],
            cwd=ROOT,
            env={**_environment(), "HOME": str(self.home), "RAY_AUTH_MODE": "token"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert found.returncode == 0, found.stdout
        return found.stdout

    def up(self) -> None:
        """`ray up`, which ends before the first worker has joined."""
        self.ray("up", "-y", "--no-config-cache", str(self.file))

    def await_workers(self) -> None:
        wait = WAIT.format(gpus=len(self.hosts) - 1)
        self.execute(f"python -c '{wait}'")

    def join(self, host: Host) -> None:
        """What a machine runs that is (again) to be a worker."""
        address = f"export RAY_HEAD_IP={self.hosts[0].address} PATH=$HOME/venv/bin:$PATH; "
        for command in self._filled_in()["worker_start_ray_commands"]:
            host.ssh(address + command)

    def said(self, job: str) -> str:
        """What `ray job logs` shows, from the disk of the head, whether it runs or not."""
        (log,) = (self.hosts[0].home.parent / "ray").glob(f"session_2*/logs/job-driver-{job}.log")
        return log.read_text()

    def execute(self, command: str, timeout: float = 300) -> str:
        """`ray exec`."""
        return self.ray("exec", str(self.file), command, timeout=timeout)


def _environment() -> dict[str, str]:
    names = ("PYTHONPATH", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
    return {name: value for name, value in os.environ.items() if name not in names}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with hosts.running(folder, 1 + WORKERS) as running:
        found = Cluster(folder, running)
        found.up()
        found.await_workers()
        yield found


def _denied(cluster: Cluster, *command: str, home: Path, **environment: str) -> str:
    found = subprocess.run(
        cluster.hosts[0].inside(*command),
        env={**_environment(), "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert found.returncode != 0, found.stdout
    return found.stdout + found.stderr


def test_the_token_lies_on_every_host_for_its_user_alone(cluster):
    for host in cluster.hosts:
        token = host.home / ".ray" / "auth_token"
        assert token.read_text() == (cluster.home / ".ray" / "auth_token").read_text()
        assert token.stat().st_mode & 0o777 == 0o600


def test_without_the_token_nobody_gets_in(cluster, tmp_path):
    address = f"{cluster.hosts[0].address}:6379"
    status = (sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address)
    assert "oken" in _denied(cluster, *status, home=tmp_path)
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "wrong" * 8}
    assert "oken" in _denied(cluster, *status, home=tmp_path, **wrong)
    curl = (sys.executable, "-c", _FETCH.format(url="http://127.0.0.1:8265/api/jobs/"))
    assert "401" in _denied(cluster, *curl, home=tmp_path)


def test_the_dashboard_listens_to_its_own_host_alone(cluster, tmp_path):
    url = f"http://{cluster.hosts[0].address}:8265/api/version"
    fetch = (sys.executable, "-c", _FETCH.format(url=url))
    assert "refused" in _denied(cluster, *fetch, home=tmp_path)


_FETCH = "import urllib.request; urllib.request.urlopen('{url}', timeout=5)"


@pytest.mark.soak
def test_a_search_goes_on_from_an_object_store_after_the_head_was_lost(cluster, photos, tmp_path):
    with running(Amazon, LAPTOP) as store:
        pictures = ObjectPath(store.url("pictures"))
        for file in _few(photos, tmp_path, 40).rglob("*.jpg"):
            (pictures / file.relative_to(tmp_path / "pictures").as_posix()).upload(file)
        search = "python ~/little-data-tuner/tuning/search.py --address auto "
        search += f"--runs '{store.url('runs')}' "
        cluster.execute(
            f"ray job submit --no-wait --submission-id away -- {search} "
            f"--data '{store.url('pictures')}' --cache '{store.url('cache')}' "
            # Views worth builders, and one network, which each worker compiles once.
            "--image-size 64 --weights random --views 2 --trials 6 --epochs 5 --name away --set "
            "network=vgg16 unfrozen=3 augmentation=medium pooling=average regularization=none "
            "head_epochs=1"
        )
        _lose_one_amid_a_build(cluster, ObjectPath(store.url("cache")))
        place = ObjectPath(store.url("runs")) / "away"
        _await_end_of(place, 1, cluster, tmp_path / "trials.jsonl")
        store.down()  # which is waited out, and said
        _await(lambda: "cannot be reached, trying again" in cluster.said("away"))
        told = cluster.execute("ray job logs away")
        store.up()
        assert "cannot be reached, trying again" in told
        over = _await_end_of(place, 2, cluster, tmp_path / "trials.jsonl")
        cluster.hosts[0].kill()
        assert not re.search(r"trial \d+ failed", cluster.said("away"))
        cluster.hosts[0].boot()
        cluster.up()
        # At once: the first worker is waited for, or trials would train on the head's CPU.
        cluster.execute(f"ray job submit -- {search} --resume away")
        Mirror(RunFolder(tmp_path / "away", place)).bring()
        begun, whole = _entries(ObjectPath(store.url("cache")))
        assert begun == whole
    facts = check(json.loads((tmp_path / "away" / "report.json").read_text()))
    assert len(facts["trials"]) == 6
    assert {trial["status"] for trial in facts["trials"]} <= {"finished", "stopped"}
    assert facts["run"]["gpus_per_trial"] == 1
    assert facts["cache"]["multiples"] == 0
    assert facts["data"]["root"] == "s3://little-data/pictures"
    trials = {trial["number"]: trial for trial in facts["trials"]}
    for number, was in over.items():  # nothing that was over is run again
        assert (trials[number]["status"], trials[number]["epochs"]) == was
    # By the workers, each of whom takes a block of pictures when it is free.
    events = EventLog(tmp_path / "away" / "cache.jsonl").read()
    built = {name for event in events if event["event"] == "build" for name in event["hosts"]}
    assert built
    assert built <= {host.name for host in cluster.hosts[1:]}
    # The machines have no folder in common but by name: each has copies of its own.
    for host in cluster.hosts[1:]:
        assert list((host.home / ".cache/little-data-tuner/copies").rglob("features.npy"))


@pytest.mark.soak
def test_a_worker_is_lost_and_comes_back_and_the_job_that_is_stopped_reports(
    cluster, photos, tmp_path
):
    shared = cluster.shared
    cluster.ray("rsync-up", str(cluster.file), f"{_few(photos, tmp_path)}/", f"{shared}/pictures/")
    cluster.execute(
        "ray job submit --no-wait --submission-id cats -- "
        "python ~/little-data-tuner/tuning/search.py --address auto "
        f"--data {shared}/pictures --image-size 32 --weights random "
        f"--trials 500 --epochs {EPOCHS} --scheduler none --name cats "
        "--set network=vgg16 unfrozen=3 augmentation=none pooling=average regularization=none "
        f"head_epochs=1 --cache {shared}/cache --runs {shared}/runs"
    )
    # The laptop's part ended with that command.
    folder = shared / "runs" / "cats"
    amid = _await_midst(cluster, folder)
    lost = next(host for host in cluster.hosts if amid["worker"].startswith(host.name))
    lost.kill()
    # What the lost host had begun is done by the other.
    (other,) = (host for host in cluster.hosts[1:] if host is not lost)
    assert _await_end_on_another(folder, amid) == other.name
    _await_worker(folder, other.name, since=len(_events(folder)))
    since = len(_events(folder))
    # Or Ray Tune would give the trial of a worker that is starting to this one, when it is free.
    with other.paused(*TRAINING):
        lost.boot()
        cluster.join(lost)
        _await_worker(folder, lost.name, since)
    cluster.execute("ray job stop cats")

    folder = tmp_path / "runs" / "cats"
    folder.mkdir(parents=True)
    cluster.ray("rsync-down", str(cluster.file), f"{shared}/runs/cats/", f"{folder}/")
    facts = check(json.loads((folder / "report.json").read_text()))
    assert facts["run"]["interrupted"]
    assert 0 < len(facts["trials"]) < 500
    assert {trial["status"] for trial in facts["trials"]} <= {"finished", "interrupted"}
    assert facts["run"]["trials_at_once"] == WORKERS
    assert facts["best"] is not None
    for name in ("report.html", "report.md", "settings.toml", "best/model.keras"):
        assert (folder / name).is_file()
    # What opens the cluster lies in no file that is passed on.
    token = (cluster.home / ".ray" / "auth_token").read_bytes()
    assert not [each for each in folder.rglob("*") if each.is_file() and token in each.read_bytes()]
    # Computed once, whichever host needed it.
    assert facts["cache"]["multiples"] == 0
    assert facts["cache"]["builds"] > 0
    events = EventLog(folder / "cache.jsonl").read()
    built = [(e["key"], e["segment"]) for e in events if e["event"] == "build"]
    assert len(built) == len(set(built))


def _few(photos: Path, folder: Path, train: int = 16) -> Path:
    """So many and 8 photos of each class."""
    few = folder / "pictures"
    for split, count in {"train": train, "validation": 8}.items():
        for each in ("cats", "dogs"):
            (few / split / each).mkdir(parents=True)
            for file in sorted((photos / split / each).iterdir())[:count]:
                shutil.copy(file, few / split / each)
    return few


def _entries(cache: ObjectPath) -> tuple[set[str], set[str]]:
    """Segments of features of which a store has anything, and those of which it has all."""
    files = [name.rpartition("/") for name in cache.files() if name.startswith("features/")]
    return {each for each, _, _ in files}, {each for each, _, name in files if name == HEADER}


def _lose_one_amid_a_build(cluster: Cluster, cache: ObjectPath) -> None:
    """Kills a worker that is computing features of an entry, and starts it again."""
    until = time.monotonic() + HANGING
    while True:
        for host in cluster.hosts[1:]:
            if host.processes("ray::_Builder.run") and operator.gt(*_entries(cache)):
                host.kill()
                host.boot()
                cluster.join(host)
                return
        assert time.monotonic() < until
        time.sleep(0.3)


def _await_end_of(place: ObjectPath, count: int, cluster: Cluster, copy: Path) -> dict[int, object]:
    """Waits until the store knows so many trials to be over: their status and epochs by number."""
    deadline = time.monotonic() + HANGING
    while True:
        if (place / "trials.jsonl").exists():
            (place / "trials.jsonl").download(copy)
            over = [each for each in read_trials(EventLog(copy)) if each.status in OVER]
            if len(over) >= count:
                return {each.number: (each.status, each.epochs) for each in over}
        assert time.monotonic() < deadline, cluster.execute(f"ray job logs {place.name}")
        time.sleep(0.5)


def _events(folder: Path) -> list[dict[str, Any]]:
    return EventLog(folder / "trials.jsonl").read()


def _await(found: Callable[[], Any]) -> Any:
    """Waits until there is something, and returns it."""
    until = time.monotonic() + HANGING
    while not (it := found()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return it


def _await_midst(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Waits until a trial has ended and another is in its midst; its last epoch."""

    def midst() -> dict[str, Any] | None:
        events = _events(folder)
        ended = {event["number"] for event in events if event["event"] == "end"}
        last = events[-1] if events else {"event": "none"}
        # Not near its end, which it would come to before its host is lost.
        amid = ended and last["event"] == "epoch" and 2 <= last["epoch"] <= EPOCHS / 3
        return last if amid and last["number"] not in ended else None

    return _await(midst)


def _await_end_on_another(folder: Path, amid: dict[str, Any]) -> str:
    """Waits for the end of a trial that a lost host had begun; the host that came to it."""

    def other() -> str | None:
        events = [each for each in _events(folder) if each.get("number") == amid["number"]]
        ended = events[-1]["event"] == "end"
        hosts = [each["worker"].split()[0] for each in events if each["event"] == "epoch"]
        return hosts[-1] if ended else None

    return _await(other)


def _await_worker(folder: Path, host: str, since: int) -> None:
    """Waits until a host has trained an epoch, the first events not counted."""

    def trains() -> bool:
        workers = [event.get("worker") or "" for event in _events(folder)[since:]]
        return any(each.split()[:1] == [host] for each in workers)

    _await(trains)
