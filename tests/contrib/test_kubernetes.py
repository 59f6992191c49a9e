"""The Kubernetes manifests, held to Kubernetes' own schemas without unknown keys, and to what the image and bridge are."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mailbridge.config.load import load_config
from tests.support.documents import ROOT

MANIFESTS = ROOT / "contrib/kubernetes/mailbridge.yaml"
SCHEMAS = json.loads((ROOT / "tests/data/kubernetes/v1.33-strict.json").read_text("utf-8"))
OBJECTS: dict[str, Any] = {
    manifest["kind"]: manifest for manifest in yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8"))
}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def wrong(manifest: dict[str, Any]) -> list[str]:
    """Return what Kubernetes would refuse of *manifest*."""
    name = SCHEMAS["kinds"][f"{manifest['apiVersion']} {manifest['kind']}"]
    schema = {"$ref": f"#/definitions/{name}", "definitions": SCHEMAS["definitions"]}
    return [
        f"{list(error.path)}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(manifest)
    ]


@pytest.mark.parametrize("kind", OBJECTS)
def test_kubernetes_takes_the_manifests(kind: str):
    """Every key is known, every value of its kind."""
    assert wrong(OBJECTS[kind]) == []


def test_mistakes_would_be_found():
    """A key that does not exist, and a value of another kind."""
    broken = copy.deepcopy(OBJECTS["StatefulSet"])
    pod = broken["spec"]["template"]["spec"]
    pod["containers"][0]["livenesProbe"] = {}
    pod["terminationGracePeriodSeconds"] = "long"
    assert len(wrong(broken)) == 2


def container() -> dict[str, Any]:
    """Return the one container."""
    [found] = OBJECTS["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    return found


def test_the_bridge_accepts_its_environment(tmp_path: Path):
    """With the image's configuration, the variables and the secret, nothing is missing or wrong."""
    (tmp_path / "password").write_text("secret", encoding="utf-8")
    environment = {
        one["name"]: one.get("value", "acme").replace("/run/secrets/mailbridge", str(tmp_path))
        for one in container()["env"]
    }
    config = load_config(ROOT / "contrib/docker/config.yaml", environ=environment)
    assert config.gateways["main"].password.get_secret_value() == "secret"
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert config.smtp.listen[0].address.endswith(f":{ports['smtp']}")
    assert config.web.listen == f"0.0.0.0:{ports['http']}"


def test_the_pod_is_what_the_image_was_made_for():
    """Its user, its folder for the queue, its probes' pages; a queue in SQLite has one bridge."""
    stateful = OBJECTS["StatefulSet"]["spec"]
    pod = stateful["template"]["spec"]
    assert stateful["replicas"] == 1
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in DOCKERFILE
    assert {mount["mountPath"] for mount in container()["volumeMounts"]} >= set(
        re.findall(r"^VOLUME (\S+)", DOCKERFILE, re.MULTILINE)
    )
    pages = {container()[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert pages == {"/livez", "/readyz"}
    assert pod["terminationGracePeriodSeconds"] > 30
    hardened = container()["securityContext"]
    assert hardened["readOnlyRootFilesystem"]
    assert hardened["capabilities"] == {"drop": ["ALL"]}


def test_labels_and_names_fit_together():
    """Service and policy find the pod; the ports they name are the container's."""
    labels = OBJECTS["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    names = {port["name"] for port in container()["ports"]}
    assert OBJECTS["Service"]["spec"]["selector"].items() <= labels.items()
    assert OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["targetPort"] for port in OBJECTS["Service"]["spec"]["ports"]} <= names
    assert {port["port"] for rule in OBJECTS["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]} <= names
    assert OBJECTS["StatefulSet"]["spec"]["serviceName"] == OBJECTS["Service"]["metadata"]["name"]
