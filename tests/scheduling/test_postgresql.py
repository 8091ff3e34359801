"""The study in a real PostgreSQL server, of Debian's package, on loopback."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from optuna.trial import TrialState
from test_study import new, play

from tuning.scheduling import study as studies
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.storages import open_storage

PORT = "15439"


def server_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    programs = server_programs()
    if programs is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", "-qq", *command], capture_output=True, check=False)
        programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed and cannot be: no apt-get as root")
    folder = tmp_path_factory.mktemp("postgresql")
    # The server refuses to run as root.
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    user = user if os.geteuid() == 0 else []
    if user:
        for each in (folder, *folder.parents[:-2]):
            each.chmod(0o755)
        shutil.chown(folder, "nobody", "nogroup")
    password = folder / "password"
    password.write_text("s3cret")
    if user:
        shutil.chown(password, "nobody", "nogroup")
    data = folder / "data"
    init = ["initdb", "-D", data, "-U", "tuner", "--auth=scram-sha-256", f"--pwfile={password}"]
    subprocess.run([*user, programs / init[0], *init[1:]], check=True, capture_output=True)
    options = f"-p {PORT} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    control = [*user, programs / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], check=True)
    yield f"postgresql://tuner:s3cret@127.0.0.1:{PORT}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True)


@pytest.mark.slow
def test_a_study_lives_in_postgresql(url):
    study = new(open_storage(url), "in-a-server")
    play(study, stopped={1})
    again = studies.resume(open_storage(url), "in-a-server", build_sampler("tpe", 1))
    states = [trial.state for trial in again.get_trials()]
    assert states == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.WAITING,
    ]
    assert LeverSearch(again, LeverSpace(3, {"vgg16": 6})).suggest("x")["number"] == 3
