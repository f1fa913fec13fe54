"""docker/tfjob.yaml, held against the field names that Kubeflow's training operator publishes, and our own flags."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, load_script

from tfod.training import distributed

FACTS = json.loads((ROOT / "tests/helpers/tfjob_fields.json").read_text())


def read_job():
    return yaml.safe_load((ROOT / "docker/tfjob.yaml").read_text())


def find_faults(node, path=""):
    """What of a part of the job the operator's schema does not know, or misses."""
    if isinstance(node, list):
        return [fault for part in node for fault in find_faults(part, f"{path}[]")]
    if not isinstance(node, dict):
        return []
    level = FACTS["levels"].get(path)
    if level is None:  # names that the user chooses, as the kinds of replicas
        inner = f"{path}.*" if f"{path}.*" in FACTS["levels"] else None
        return [fault for part in node.values() for fault in find_faults(part, inner)] if inner else []
    faults = [f"{path}: has no field {name}" for name in node.keys() - set(level["fields"].split())]
    faults += [f"{path}: lacks {name}" for name in set(level["required"].split()) - node.keys()]
    for name, part in node.items():
        faults += find_faults(part, f"{path}.{name}".lstrip("."))
    return faults


def test_the_operator_knows_every_field():
    assert find_faults(read_job()) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("tfReplicaSpecs", "replicaSpecs", "spec: has no field replicaSpecs"),
        ("cleanPodPolicy", "cleanPods", "spec.runPolicy: has no field cleanPods"),
        ("claimName", "claim", "spec.tfReplicaSpecs.*.template.spec.volumes[].persistentVolumeClaim: lacks claimName"),
        ("mountPath", "path", "spec.tfReplicaSpecs.*.template.spec.containers[].volumeMounts[]: has no field path"),
    ],
)
def test_a_wrong_field_is_noticed(old, new, fault):
    text = (ROOT / "docker/tfjob.yaml").read_text()
    assert fault in find_faults(yaml.safe_load(text.replace(f"{old}:", f"{new}:")))


def test_the_container_has_the_name_that_the_operator_looks_for_and_a_card():
    worker = read_job()["spec"]["tfReplicaSpecs"]["Worker"]
    (container,) = worker["template"]["spec"]["containers"]
    assert container["name"] == FACTS["container"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in worker["template"]["spec"]["volumes"]}


def test_the_command_is_one_of_ours_and_counts_all_workers(monkeypatch):
    worker = read_job()["spec"]["tfReplicaSpecs"]["Worker"]
    (container,) = worker["template"]["spec"]["containers"]
    python, script, *words = container["command"]
    folder = ROOT / Path(container["workingDir"]).relative_to("/tfod")
    assert python == "python"
    assert (folder / script).is_file()
    monkeypatch.setattr("sys.argv", [script, *words])
    arguments = load_script(script).parse_arguments()
    assert arguments.num_workers == worker["replicas"]
    # what the operator sets for the second of two workers, in the namespace `default`
    names = [f"tfod-worker-{index}.default.svc:2222" for index in range(worker["replicas"])]
    config = {"cluster": {"worker": names}, "task": {"type": "worker", "index": 1}, "environment": "cloud"}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert distributed.check_tf_config(arguments.num_workers) == []
