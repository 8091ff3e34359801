"""The cluster files: Ray's own schema and loader, an AWS of moto's, and what they promise."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tuning.run.request import read_options

ROOT = Path(__file__).resolve().parents[2]
LAUNCHED = ("cluster.yaml", "clusters/gcp.yaml", "clusters/on_premises.yaml")
CLOUDS = LAUNCHED[:2]
COMMANDS = (
    *("setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)


def load(name):
    return yaml.safe_load((ROOT / name).read_text())


def kubernetes():
    found = yaml.safe_load_all((ROOT / "clusters" / "kubernetes.yaml").read_text())
    return {each["kind"]: each for each in found}


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_accepts_it(name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(load(name))
    validate_config(prepared)
    for each in COMMANDS[1:]:
        assert prepared[each][-1] == load(name)[each][-1]


@pytest.mark.parametrize("name", LAUNCHED)
def test_its_commands_are_shell(name):
    for each in COMMANDS:
        for command in load(name)[each]:
            subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_token_goes_everywhere(name):
    file = load(name)
    assert file["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in file["setup_commands"][0]
    starts = [file[each][-1] for each in COMMANDS[3:]]
    for command in starts:
        assert "export RAY_AUTH_MODE=token; ray start" in command
    assert any("RAY_AUTH_MODE=token' >> ~/.bashrc" in each for each in file["setup_commands"])
    # Through `ray dashboard`, an SSH tunnel, or not at all.
    assert "--dashboard-host=127.0.0.1" in starts[0]


@pytest.mark.parametrize("name", LAUNCHED)
def test_it_installs_this_project_as_locked(name):
    file = load(name)
    mounts = {each: here for each, here in file["file_mounts"].items() if ".ray" not in each}
    for there, here in mounts.items():
        assert there == f"~/little-data-tuner/{here}"
        assert (ROOT / here).exists()
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.search(r"include = \[(.*)\]", project)[1]
    assert {each.strip(' "*') for each in packages.split(",")} <= set(mounts.values())
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= set(mounts.values())
    installs = [line for each in COMMANDS for line in file[each] if "pip install" in line]
    assert installs
    for line in installs:
        assert "pip install -q -c constraints.txt" in line
        assert ".[cluster" in line


@pytest.mark.parametrize("name", [*LAUNCHED, "clusters/kubernetes.yaml"])
def test_little_needs_editing(name):
    text = (ROOT / name).read_text()
    told, body = re.split(r"\n\n(?=[a-z])", text, maxsplit=1)
    named = set(re.findall(r"\((\d)\)", told))
    assert len(named) <= 5
    assert set(re.findall(r"# \((\d)\)", body)) == named


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_come_when_needed_and_go_again(name):
    file = load(name)
    types = file["available_node_types"]
    workers = {each: types[each] for each in types if each != file["head_node_type"]}
    assert all(each["min_workers"] == 0 for each in workers.values())
    assert all(each["max_workers"] == file["max_workers"] for each in workers.values())
    assert all(each["resources"]["GPU"] == 1 for each in workers.values())
    assert "GPU" not in types["head"]["resources"]
    assert file["idle_timeout_minutes"] <= 10
    assert not file["provider"]["cache_stopped_nodes"]
    # Spot first, on demand where that is refused.
    first, second = sorted(workers, key=lambda each: -workers[each].get("priority", 0))
    assert re.search("spot", json.dumps(workers[first]["node_config"]), re.IGNORECASE)
    assert not re.search("spot", json.dumps(workers[second]["node_config"]), re.IGNORECASE)


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """An AWS account with the instance profiles that cluster.yaml tells its user to make."""
    import boto3
    from moto import mock_aws

    region = load("cluster.yaml")["provider"]["region"]
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # gets the key that Ray makes
        iam = boto3.client("iam", region_name=region)
        trust, bucket, start = (
            (ROOT / "clusters" / f"aws_{each}.json").read_text()
            for each in ("trust", "bucket_policy", "head_policy")
        )
        for name in ("little-data-tuner-head", "little-data-tuner-worker"):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
            iam.put_role_policy(RoleName=name, PolicyName="bucket", PolicyDocument=bucket)
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        iam.put_role_policy(
            RoleName="little-data-tuner-head", PolicyName="start-workers", PolicyDocument=start
        )
        yield boto3.client("ec2", region_name=region)


@pytest.fixture(scope="module")
def bootstrapped(aws):
    """cluster.yaml as `ray up` completes it with what it finds and makes in the account."""
    from ray.autoscaler._private.commands import _bootstrap_config

    return _bootstrap_config(load("cluster.yaml"), no_config_cache=True)


def launch(config, kind, node_type, provider):
    config = config["available_node_types"][node_type]["node_config"]
    tags = {
        "ray-node-type": kind,
        "ray-user-node-type": node_type,
        "ray-node-name": f"ray-little-data-tuner-{kind}",
        "ray-launch-config": "test",
        "ray-node-status": "uninitialized",
    }
    (found,) = provider.create_node(config, tags, 1)
    return found


@pytest.mark.slow
def test_aws_machines_are_what_the_file_says(aws, bootstrapped):
    for node_type in bootstrapped["available_node_types"].values():
        kind = node_type["node_config"]["InstanceType"]
        (found,) = aws.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
        assert node_type["resources"]["CPU"] == found["VCpuInfo"]["DefaultVCpus"]
        gpus = found.get("GpuInfo", {}).get("Gpus", [])
        assert node_type["resources"].get("GPU", 0) == sum(each["Count"] for each in gpus)


def test_aws_opens_no_port_but_ssh(aws, bootstrapped):
    groups = {
        group
        for each in bootstrapped["available_node_types"].values()
        for group in each["node_config"]["SecurityGroupIds"]
    }
    found = aws.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    for group in found:
        for rule in group["IpPermissions"]:
            if rule["IpRanges"] or rule["Ipv6Ranges"] or rule["PrefixListIds"]:
                assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 22, 22)
            assert {pair["GroupId"] for pair in rule["UserIdGroupPairs"]} <= groups


def test_aws_starts_what_is_asked_for(aws, bootstrapped):
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    provider = AWSNodeProvider(bootstrapped["provider"], bootstrapped["cluster_name"])
    started = {
        name: launch(bootstrapped, "head" if name == "head" else "worker", name, provider)
        for name in bootstrapped["available_node_types"]
    }
    assert set(started) == {"head", "gpu_spot", "gpu_on_demand"}
    found = {
        each["InstanceId"]: each
        for reservation in aws.describe_instances()["Reservations"]
        for each in reservation["Instances"]
    }
    for name, identity in started.items():
        each, head = found[identity], name == "head"
        assert each["InstanceType"] == ("m7i.xlarge" if head else "g6.xlarge")
        profile = f"little-data-tuner-{'head' if head else 'worker'}"
        assert each["IamInstanceProfile"]["Arn"].endswith(profile)
        assert (each.get("InstanceLifecycle") == "spot") == (name == "gpu_spot")
        assert each["MetadataOptions"]["HttpTokens"] == "required"


def test_the_head_may_do_in_aws_what_it_does_and_no_more(bootstrapped, monkeypatch):
    from botocore.client import BaseClient
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    called = set()
    call = BaseClient._make_api_call

    def noted(self, operation, arguments):
        called.add(f"{self.meta.service_model.service_name}:{operation}")
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    provider = AWSNodeProvider(bootstrapped["provider"], bootstrapped["cluster_name"])
    worker = launch(bootstrapped, "worker", "gpu_spot", provider)
    assert worker in provider.non_terminated_nodes({})
    provider.set_node_tags(worker, {"ray-node-status": "up-to-date"})
    provider.terminate_nodes([worker])
    assert worker not in provider.non_terminated_nodes({})
    policy = json.loads((ROOT / "clusters" / "aws_head_policy.json").read_text())
    allowed = set()
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    # RunInstances reads the image's parameter and passes the worker's role, with the head's rights.
    assert allowed == called | {"ssm:GetParameters", "iam:PassRole"}
    name = load("cluster.yaml")["cluster_name"]
    conditions = [each.get("Condition", {}).get("StringEquals", {}) for each in policy["Statement"]]
    assert any(each.get("aws:RequestTag/ray-cluster-name") == name for each in conditions)
    assert any(each.get("aws:ResourceTag/ray-cluster-name") == name for each in conditions)


def test_aws_machines_may_use_one_bucket_and_no_other():
    policy = json.loads((ROOT / "clusters" / "aws_bucket_policy.json").read_text())
    whole, within = policy["Statement"]
    assert within["Resource"] == f"{whole['Resource']}/*"
    assert whole["Action"] == "s3:ListBucket"
    assert set(within["Action"]) <= {
        *("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
    }


def test_kubernetes_runs_the_locked_ray_behind_its_token():
    job = kubernetes()["RayJob"]
    assert job["apiVersion"] == "ray.io/v1"
    cluster = job["spec"]["rayClusterSpec"]
    locked = re.search(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert cluster["rayVersion"] == locked
    assert cluster["authOptions"] == {"mode": "token"}
    assert job["spec"]["shutdownAfterJobFinishes"]
    # Told by KubeRay's definition of a RayJob, 1.5: other names would be dropped in silence.
    assert set(job["spec"]) <= {
        *("entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit"),
        "rayClusterSpec",
    }
    assert set(cluster) == {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    (container,) = group["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_kubernetes_pods_see_one_volume_and_have_no_rights():
    found = kubernetes()
    assert set(found) == {"PersistentVolumeClaim", "Pod", "RayJob"}  # no service of ours
    assert found["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    cluster = found["RayJob"]["spec"]["rayClusterSpec"]
    pods = [
        found["Pod"]["spec"],
        cluster["headGroupSpec"]["template"]["spec"],
        cluster["workerGroupSpecs"][0]["template"]["spec"],
    ]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        (volume,) = pod["volumes"]
        claim = volume["persistentVolumeClaim"]["claimName"]
        assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]
        (container,) = pod["containers"]
        assert container["image"] == pods[0]["containers"][0]["image"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/shared"}]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_kubernetes_asks_for_a_search_that_there_is():
    python, script, *arguments = shlex.split(kubernetes()["RayJob"]["spec"]["entrypoint"])
    assert (python, script) == ("python", "tuning/search.py")
    options, resumed = read_options(arguments)
    assert not resumed
    assert options.address == "auto"
    assert {each.parts[1] for each in (options.data, options.cache, options.runs)} == {"shared"}


def test_the_image_holds_this_project_as_locked():
    text = (ROOT / "clusters" / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY")]
    names = {name for line in copied for name in line}
    assert all((ROOT / name).exists() for name in names)
    assert names == {
        here for there, here in load("cluster.yaml")["file_mounts"].items() if ".ray" not in there
    }
    assert "pip install --no-cache-dir -c constraints.txt -e '.[cluster,gpu]'" in text
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
