"""Ray on one machine alone, and what is told of clusters that cannot be joined."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from hosts import ROOT

from tuning.cluster import joining
from tuning.errors import UserError

pytestmark = pytest.mark.slow

# Prints where the processes of a search listen, and where Ray keeps its files.
LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tuning.cluster.joining import connect
connect(None)
import psutil, ray
from pathlib import Path

@ray.remote
class Worker:
    def ready(self):
        return True

worker = Worker.remote()
ray.get(worker.ready.remote())
mine = [psutil.Process(), *psutil.Process().children(recursive=True)]
found = [each for process in mine for each in process.net_connections("inet")]
folder = Path(ray._private.worker._global_node.get_session_dir_path())
print(json.dumps({
    "processes": [" ".join(each.cmdline()) for each in mine],
    "addresses": [each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN],
    "rights": [each.stat().st_mode & 0o077 for each in (folder, *folder.parents)][:-2],
}))
"""


# A Ray that ends well, and one that does not; prints whether its files are there after that.
END = """
import sys
sys.path.insert(0, sys.argv[1])
from tuning.cluster import ray_private
from tuning.cluster.joining import connected
for fault in (False, True):
    try:
        with connected(None):
            folder = ray_private.session_folder()
            assert folder.is_dir()
            if fault:
                raise KeyError
    except KeyError:
        pass
    print(folder.exists())
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    found = subprocess.run(
        [sys.executable, "-c", LOOK, str(ROOT)],
        env={**os.environ, "HOME": str(home), "RAY_ADDRESS": "127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout), home


def test_nothing_listens_beyond_this_machine(alone):
    found, _ = alone
    assert len(found["processes"]) > 3
    assert len(found["addresses"]) > 3
    loopback = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert set(found["addresses"]) <= loopback


@pytest.mark.parametrize(
    "part", ["monitor.py", "dashboard.py", "DashboardAgent", "agent.py --node", "ray::IDLE"]
)
def test_nothing_runs_that_none_of_ours_uses(alone, part):
    found, _ = alone
    assert [each for each in found["processes"] if part in each] == []


def test_rays_files_are_for_this_user_alone(alone):
    found, home = alone
    # One closed folder on the way is enough.
    assert 0 in found["rights"]
    token = home / ".ray" / "auth_token"
    assert len(token.read_text()) == 64
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700


def test_a_token_that_all_can_read_is_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("given")
    joining._keep_token()
    assert token.read_text() == "given"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense"])
def test_a_cluster_that_is_not_there(address):
    with pytest.raises(UserError, match=f"^No Ray cluster at --address {address} to join: .*"):
        joining.connect(address)


def test_of_a_ray_that_ended_well_nothing_is_left(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", END, str(ROOT)],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "True"]
