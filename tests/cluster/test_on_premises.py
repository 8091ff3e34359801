"""`clusters/on_premises.yaml` with three hosts, real sshd, real `ray up`, real jobs.

The GPUs are pretended: trials are placed by them, and train on the CPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import hosts
import pytest
import yaml
from hosts import ROOT, Host

from tuning import report
from tuning.journal import Journal

pytestmark = pytest.mark.slow

WORKERS = 2
WAIT = """
import ray, time
ray.init("auto", log_to_driver=False)
until = time.monotonic() + 120
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
        # GPUs where there are none.
        text = text.replace(
            "ray start --address", "ray start --num-gpus=1 --num-cpus=1 --address"
        ).replace("ray start ", "ray start --object-store-memory=100000000 ")
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
        found.ray("up", "-y", "--no-config-cache", str(found.file))
        wait = WAIT.format(gpus=WORKERS)
        found.execute(f"python -c '{wait}'")
        yield found


def _denied(cluster: Cluster, *command: str, home: Path, **environment: str) -> str:
    found = subprocess.run(
        cluster.hosts[0].inside(*command),
        env={**_environment(), "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
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


def test_a_search_outlives_a_worker(cluster, photos, tmp_path):
    shared = cluster.shared
    cluster.ray("rsync-up", str(cluster.file), f"{_few(photos, tmp_path)}/", f"{shared}/pictures/")
    cluster.execute(
        "ray job submit --no-wait --submission-id cats -- "
        "python ~/little-data-tuner/tuning/search.py --address auto "
        f"--data {shared}/pictures --image-size 32 --weights random --views 2 "
        "--trials 12 --epochs 12 --scheduler none --name cats "
        f"--cache {shared}/cache --runs {shared}/runs"
    )
    # The laptop's part ended with that command.
    folder = shared / "runs" / "cats"
    busy = _await_trials(cluster, folder, 3)
    lost = next(host for host in cluster.hosts if host.name == busy)
    lost.kill()
    cluster.hosts.remove(lost)
    cluster.execute("ray job logs --follow cats")
    told = cluster.execute("ray job status cats")
    assert "succeeded" in told, told

    folder = tmp_path / "runs" / "cats"
    folder.mkdir(parents=True)
    cluster.ray("rsync-down", str(cluster.file), f"{shared}/runs/cats/", f"{folder}/")
    facts = json.loads((folder / "report.json").read_text())
    report.check(facts)
    assert len(facts["trials"]) == 12
    assert {trial["status"] for trial in facts["trials"]} == {"finished"}
    assert facts["run"]["trials_at_once"] == WORKERS
    assert facts["best"] is not None
    for name in ("report.html", "report.md", "settings.toml", "best/model.keras"):
        assert (folder / name).is_file()
    # What the lost host had begun was done by the other.
    events = Journal(folder / "trials.jsonl").read()
    assert {event["worker"].split()[0] for event in events if event.get("worker")} == {
        *(host.name for host in cluster.hosts[1:]),
        lost.name,
    }
    # What opens the cluster lies in no file that is passed on.
    token = (cluster.home / ".ray" / "auth_token").read_bytes()
    assert not [each for each in folder.rglob("*") if each.is_file() and token in each.read_bytes()]
    # Computed once, whichever host needed it.
    assert facts["cache"]["multiples"] == 0
    assert facts["cache"]["builds"] > 0
    built = [e["key"] for e in Journal(folder / "cache.jsonl").read() if e["event"] == "build"]
    assert len(built) == len(set(built))


def test_a_job_that_is_stopped_still_reports(cluster, photos):
    folder = cluster.shared / "runs" / "long"
    cluster.execute(
        "ray job submit --no-wait --submission-id long -- "
        "python ~/little-data-tuner/tuning/search.py --address auto "
        f"--data {cluster.shared}/pictures --image-size 32 --weights random --views 2 "
        "--trials 500 --epochs 12 --name long "
        f"--cache {cluster.shared}/cache --runs {cluster.shared}/runs"
    )
    _await_trials(cluster, folder, 1)
    cluster.execute("ray job stop long")
    facts = json.loads((folder / "report.json").read_text())
    assert facts["run"]["interrupted"]
    assert 0 < len(facts["trials"]) < 500
    assert (folder / "best" / "model.keras").is_file()


def _few(photos: Path, folder: Path) -> Path:
    """16 + 8 photos of each class."""
    few = folder / "pictures"
    for split, count in {"train": 16, "validation": 8}.items():
        for each in ("cats", "dogs"):
            (few / split / each).mkdir(parents=True)
            for file in sorted((photos / split / each).iterdir())[:count]:
                shutil.copy(file, few / split / each)
    return few


def _await_trials(cluster: Cluster, folder: Path, count: int) -> str:
    """Waits until so many trials have ended and another is in its midst; the host of that one."""
    trials, deadline = Journal(folder / "trials.jsonl"), time.monotonic() + 240
    while True:
        events = trials.read()
        ended = sum(event["event"] == "end" for event in events)
        if ended >= count and events[-1]["event"] == "epoch" and 2 <= events[-1]["epoch"] <= 6:
            return str(events[-1]["worker"].split()[0])
        assert time.monotonic() < deadline, cluster.execute(f"ray job logs {folder.name}")
        time.sleep(0.05)
