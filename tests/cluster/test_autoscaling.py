"""`cluster.yaml` from no worker to as many as trials wait for, and back, by Ray's autoscaler.

The cloud is played by Ray's own fake provider: its machines are processes of one host.
"""

from __future__ import annotations

import json

import hosts
import pytest
import yaml
from hosts import LEAN, ROOT, THRIFT
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
)
from ray.autoscaler._private.util import prepare_config

pytestmark = pytest.mark.slow

ENVIRONMENT = THRIFT | {
    "RAY_AUTH_MODE": "token",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    "RAY_NODE_TYPE_NAME": FAKE_HEAD_NODE_TYPE,
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
}
MOST = 2
IDLE = 6  # seconds, in place of the file's minutes
AWAIT_GONE = """
import ray, time
ray.init("auto", log_to_driver=False)
until = time.monotonic() + 280
while ray.cluster_resources().get("GPU"):
    assert time.monotonic() < until, ray.nodes()
    time.sleep(1)
"""


@pytest.fixture
def host(tmp_path):
    with hosts.running(tmp_path, 1) as (found,):
        token = found.home / ".ray" / "auth_token"
        token.parent.mkdir()
        token.write_text("0123456789abcdef" * 2)
        yield found


def played() -> dict:
    """cluster.yaml as its head gets it, the cloud replaced."""
    file = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    types = file["available_node_types"]
    types[FAKE_HEAD_NODE_TYPE] = types.pop(file["head_node_type"])
    for each in types.values():
        each["resources"] |= {"CPU": 1, "object_store_memory": 10**8}
        each["node_config"] = {}
    file |= {"max_workers": MOST, "idle_timeout_minutes": IDLE / 60}
    file = prepare_config(file | {"head_node_type": FAKE_HEAD_NODE_TYPE})
    provider = {
        # As "external": the wheel lacks a file that "fake_multinode" would read.
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "head_node_id": FAKE_HEAD_NODE_ID,
        "launch_multiple": True,
        "disable_node_updaters": True,
    }
    return file | {"provider": provider}


def test_workers_come_when_trials_wait_for_them_and_go_after_the_last(host, photos):
    (host.home / "ray_bootstrap_config.yaml").write_text(json.dumps(played()))
    shared = host.home / "shared"
    variables = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    inside = f"export PATH=~/venv/bin:$PATH RAY_AUTH_MODE=token; cd {ROOT};"
    host.ssh(
        f"{inside} {variables} ray start --head --num-cpus=1 {LEAN} "
        "--autoscaling-config=~/ray_bootstrap_config.yaml"
    )
    host.ssh(
        f"{inside} python tuning/search.py --address auto --data {photos} --per-class 16 8 "
        "--image-size 32 --weights random --views 2 --trials 4 --epochs 1 "
        f"--name grown --cache {shared}/cache --runs {shared}/runs",
        timeout=400,
    )
    facts = json.loads((shared / "runs" / "grown" / "report.json").read_text())
    assert facts["run"]["trials_at_once"] == MOST
    assert facts["run"]["gpus_per_trial"] == 1
    assert {trial["status"] for trial in facts["trials"]} <= {"finished", "stopped"}
    assert facts["cache"]["multiples"] == 0
    # Nothing of the search holds a machine that costs money.
    host.ssh(f"{inside} python -c '{AWAIT_GONE}'", timeout=400)
