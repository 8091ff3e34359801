"""How machines, those that are there and those that may come, are shared out among trials."""

import json

import pytest
import ray

from tuning.cluster import resources
from tuning.cluster.joining import connect
from tuning.cluster.resources import Resources, resources_per_trial, share_out
from tuning.errors import UserError

CPU_ONLY, GPU, TWO = {"CPU": 8}, {"CPU": 4, "GPU": 1}, {"CPU": 16, "GPU": 2}
HEAD = {"Labels": {resources.TYPE: "head"}, "Resources": {"CPU": 4}}


@pytest.mark.parametrize(
    ("nodes", "gpus", "cpus", "expected"),
    [
        ([CPU_ONLY, GPU, TWO], None, None, Resources(1.0, 4, 3)),
        ([CPU_ONLY, GPU, TWO], 2.0, None, Resources(2.0, 16, 1)),
        ([CPU_ONLY, GPU, TWO], 0.5, None, Resources(0.5, 2, 6)),
        ([CPU_ONLY, GPU, TWO], 1.0, 8, Resources(1.0, 8, 2)),
        ([CPU_ONLY, GPU, TWO], 0.0, 4, Resources(0.0, 4, 7)),
        ([{"CPU": 2, "GPU": 8}], None, None, Resources(1.0, 1, 2)),
        ([CPU_ONLY], None, None, Resources(0.0, 2, 4)),
        ([{"CPU": 2}], None, None, Resources(0.0, 1, 2)),
        ([GPU], 2.0, None, Resources(2.0, 1, 0)),
    ],
)
def test_what_a_trial_gets_and_how_many_have_room(nodes, gpus, cpus, expected):
    assert share_out(nodes, gpus, cpus) == expected


def test_what_no_machine_has_is_one_line():
    connect(None)
    try:
        for asked in ((512.0, None), (None, 4096)):
            with pytest.raises(UserError, match=r"^A trial is to get GPU: .*; no machine has both"):
                resources_per_trial(*asked)
    finally:
        ray.shutdown()


@pytest.fixture
def head(tmp_path, monkeypatch):
    """Writes the cluster file where `ray up` leaves it on the head."""
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "ray_bootstrap_config.yaml"
    return lambda content: file.write_text(json.dumps(content))


def test_what_the_autoscaler_may_yet_start(head):
    gpu, big = {"CPU": 4, "GPU": 1}, {"CPU": 8, "GPU": 1}
    types = {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "gpu": {"resources": gpu, "max_workers": 8},
        "big": {"resources": big, "max_workers": 2, "priority": 1},
    }
    assert resources._to_come([HEAD]) == []  # not by a cluster file
    head({"max_workers": 4, "head_node_type": "head", "available_node_types": types})
    assert resources._to_come([HEAD]) == [big, big, gpu, gpu]
    assert resources._to_come([HEAD] * 4) == [big]
    assert resources._to_come([HEAD] * 9) == []
    assert resources._to_come([{"Labels": {}}]) == []  # a Ray of its own on that head


@pytest.mark.parametrize(
    ("provider", "least", "promised"),
    [
        ({"type": "aws"}, 0, 0),
        ({"type": "aws"}, 2, 2),
        ({"type": "local", "worker_ips": ["192.0.2.11", "192.0.2.12"]}, 3, 2),
        ({"type": "local", "worker_ips": []}, 1, 0),
    ],
)
def test_workers_that_are_always_there_are_promised(head, provider, least, promised):
    assert resources._promised([HEAD]) == 0
    types = {"head": {}, "gpu": {"min_workers": least}}
    head({"provider": provider, "head_node_type": "head", "available_node_types": types})
    assert resources._promised([HEAD]) == promised
