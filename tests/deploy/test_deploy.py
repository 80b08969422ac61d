"""What is handed to container engines and clusters: it is valid, and names only what Referee has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from typer.main import get_command

from referee.cli import app
from referee.foundation.settings import Settings, load_settings
from referee.web_app import create_web_app

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "referee"
HELM = str(Path(sys.executable).with_name("helm"))
OLDEST, NEWEST = "1.28", "1.34"
BUCKET = {
    "artifacts.url": "s3://lab/referee",
    "artifacts.endpointUrl": "https://s3.lab.example",
    "artifacts.region": "eu-central-1",
    "artifacts.existingSecret": "bucket",
}
OTHER_HOME = {"home.existingClaim": "old", "networkPolicy.enabled": "false"}
INGRESS = {"ingress.enabled": "true", "server.host": "referee.example", "ingress.tlsSecret": "tls"}


def run_helm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELM, *words], capture_output=True, text=True, timeout=60, check=False)


def list_options(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def render(**values: str) -> list[dict[str, Any]]:
    done = run_helm("template", "lab", str(CHART), *list_options(values))
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def list_containers(resources: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in resources:
        if one["kind"] in ("Deployment", "Job"):
            yield from one["spec"]["template"]["spec"]["containers"]


def is_setting(name: str) -> bool:
    return name.removeprefix("REFEREE_").lower() in Settings.model_fields


@pytest.mark.parametrize("values", [{}, BUCKET, INGRESS, {"maintenance": "true"}, OTHER_HOME])
def test_chart_is_valid_for_each_version_of_kubernetes(values: dict[str, str]) -> None:
    linted = run_helm("lint", "--strict", str(CHART), *list_options(values))
    assert linted.returncode == 0, linted.stdout
    resources = render(**values)
    for resource in resources:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(resource, version, strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in resources]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("values", [{}, BUCKET | INGRESS, {"maintenance": "true"}])
def test_containers_of_the_chart_run_commands_and_settings_that_exist(values: dict[str, str]) -> None:
    commands = get_command(app).list_commands(None)  # type: ignore[attr-defined]
    containers = list(list_containers(render(**values)))
    assert len(containers) == (3 if "maintenance" in values else 2)
    paths = create_web_app(load_settings()).openapi()["paths"]
    for container in containers:
        assert container["args"][0] in commands
        assert [one["name"] for one in container["env"] if not is_setting(one["name"])] == []
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in container:
                assert container[probe]["httpGet"]["path"] in paths
    assert all(one["resources"]["limits"]["memory"] for one in containers)


def test_maintenance_stops_everything_that_works_on_the_database() -> None:
    counts = {
        is_maintained: [
            one["spec"]["replicas"]
            for one in render(maintenance=str(is_maintained).lower())
            if one["kind"] == "Deployment"
        ]
        for is_maintained in (False, True)
    }
    assert counts == {False: [1, 2], True: [0, 0]}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"worker.replica": "2"}, "worker"),
        ({"settings.DATABASE": "x"}, "settings"),
        ({"artifacts.url": "http://lab"}, "url"),
        ({"ingress.enabled": "true"}, "server.host"),
        ({"maintenance": "perhaps"}, "maintenance"),
    ],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, str], told: str) -> None:
    done = run_helm("template", "lab", str(CHART), *list_options(values))
    assert done.returncode != 0
    assert told in done.stderr


def test_compose_file_is_valid_and_names_only_what_exists() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    schema = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    jsonschema.validate(compose, json.loads(schema.read_text(encoding="utf-8")))
    commands = get_command(app).list_commands(None)  # type: ignore[attr-defined]
    for name in ("server", "worker"):
        service = compose["services"][name]
        assert service["command"][0] in commands
        assert [one for one in service["environment"] if not is_setting(one)] == []
        build = service["build"]
        assert (ROOT / "deploy" / build["context"] / build["dockerfile"]).is_file()
        assert {volume.split(":")[0] for volume in service["volumes"][:2]} <= compose["volumes"].keys()
    assert compose["services"]["server"]["ports"] == ["127.0.0.1:8765:8765"]


def test_image_is_made_of_files_and_settings_that_exist() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"REFEREE_\w+", text) if not is_setting(name)] == []
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001"]
    assert all((ROOT / path).is_file() for path in re.findall(r"requirements/[\w.]+\.txt", text))
    kept = (ROOT / "deploy" / "Containerfile.dockerignore").read_text(encoding="utf-8")
    assert all((ROOT / line[1:]).exists() for line in kept.splitlines() if line.startswith("!"))
