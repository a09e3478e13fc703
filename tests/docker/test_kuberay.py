"""KubeRay manifests: their own fields by a schema, their pods by Kubernetes' models. No cluster has seen them here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes import client

DOCKER = Path(__file__).resolve().parents[2] / "docker"
SCHEMA = json.loads(Path(__file__).with_name("kuberay.schema.json").read_text())
FILES = sorted((DOCKER / "kuberay").glob("*.yaml"))
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": (str, int, dict)}


def built(value: Any, kind: str, place: str) -> Any:
    """A value as Kubernetes' model of a kind. Raises ValueError for unknown or missing fields and wrong types."""
    if inner := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        return [built(item, inner[1], f"{place}[{number}]") for number, item in enumerate(value)]
    if inner := re.fullmatch(r"[Dd]ict[\[(]str, (.+)[\])]", kind):
        return {key: built(item, inner[1], f"{place}.{key}") for key, item in value.items()}
    if kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (kind == "int" and isinstance(value, bool)):
            raise ValueError(f"{place} is not {kind}: {value!r}")
        return value
    model = getattr(client, kind)
    names = {shown: name for name, shown in model.attribute_map.items()}
    if unknown := set(value) - set(names):
        raise ValueError(f"{place} has no {sorted(unknown)}")
    fields = {names[key]: built(item, model.openapi_types[names[key]], f"{place}.{key}") for key, item in value.items()}
    return model(**fields, local_vars_configuration=client.Configuration())


def cluster(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"] if manifest["kind"] == "RayCluster" else manifest["spec"]["rayClusterSpec"]


def templates(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pod templates by where they stand."""
    yield "head", cluster(manifest)["headGroupSpec"]["template"]
    for group in cluster(manifest)["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
    if "submitterPodTemplate" in manifest["spec"]:
        yield "submitter", manifest["spec"]["submitterPodTemplate"]


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def manifest(request: pytest.FixtureRequest) -> dict[str, Any]:
    return yaml.safe_load(request.param.read_text())  # type: ignore[no-any-return]


def test_there_is_a_cluster_and_a_job() -> None:
    assert [yaml.safe_load(path.read_text())["kind"] for path in FILES] == ["RayCluster", "RayJob"]


def test_its_fields_are_kuberay_s(manifest: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(manifest, SCHEMA)


def test_a_misspelt_field_is_refused(manifest: dict[str, Any]) -> None:
    cluster(manifest)["enableInTreeAutoScaling"] = True
    with pytest.raises(jsonschema.ValidationError, match="enableInTreeAutoScaling"):
        jsonschema.validate(manifest, SCHEMA)


def test_its_pods_are_kubernetes_pods(manifest: dict[str, Any]) -> None:
    built(manifest["metadata"], "V1ObjectMeta", "metadata")
    options = cluster(manifest)["autoscalerOptions"]
    built(options["resources"], "V1ResourceRequirements", "autoscaler")
    built(options["securityContext"], "V1SecurityContext", "autoscaler")
    for place, template in templates(manifest):
        built(template, "V1PodTemplateSpec", place)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"containers": [{"name": "a", "imagePullpolicy": "Always"}]}, "imagePullpolicy"),
        ({"containers": [{"image": "a"}]}, "`name`"),
        ({"containers": [{"name": "a", "resources": {"limits": {"cpu": 2}}}]}, "limits.cpu is not str"),
    ],
)
def test_a_pod_that_is_none_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        built({"spec": wrong}, "V1PodTemplateSpec", "pod")


def test_every_pod_is_confined(manifest: dict[str, Any]) -> None:
    for place, template in templates(manifest):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], place
        assert pod["securityContext"]["runAsUser"] == 1000, place
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, place
        assert place == "head" or pod["automountServiceAccountToken"] is False, place  # the autoscaler asks from there
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, place
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, place
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), place
            assert re.search(r":\d+\.\d+\.\d+-(cpu|cuda)$", container["image"]), place


def test_it_grows_and_asks_for_the_token(manifest: dict[str, Any]) -> None:
    spec = cluster(manifest)
    assert spec["rayVersion"] == version("ray")
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"] is True
    assert all(group["minReplicas"] < group["maxReplicas"] for group in spec["workerGroupSpecs"])
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert group["rayStartParams"]["metrics-export-port"] == "8080"


def test_secrets_are_named_and_never_written(manifest: dict[str, Any]) -> None:
    for _, template in templates(manifest):
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                assert ("valueFrom" in variable) or variable["value"].startswith("/"), variable["name"]
    assert "stringData" not in json.dumps(manifest)
