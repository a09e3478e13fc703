"""The compose file: valid by its specification's schema, and closed to all but this host. It is not started here."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCKER = Path(__file__).resolve().parents[2] / "docker"
FILE = DOCKER / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = ("head", "worker")


def conforms(file: Path) -> subprocess.CompletedProcess[str]:
    """By the schema that compose-spec publishes, of which check-jsonschema brings a copy."""
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.long
def test_it_conforms_to_the_schema_of_compose_files() -> None:
    done = conforms(FILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_key_does_not_conform(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text(FILE.read_text().replace("shm_size", "shm_sise"))
    assert conforms(bad).returncode == 1


def test_there_is_a_head_two_workers_and_a_store() -> None:
    assert {"head", "worker", "store", "bucket", "prometheus", "grafana"} == set(SERVICES)
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_limited_and_seen_from_loopback_alone(name: str) -> None:
    service = SERVICES[name]
    ours = r"curation-engine:\d+\.\d+\.\d+-cpu"
    assert re.fullmatch(rf"{ours}|[\w./-]+:(?!latest)[\w.-]+@sha256:[0-9a-f]{{64}}", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "network_mode" not in service
    assert "privileged" not in service
    assert name == "bucket" or "healthcheck" in service


@pytest.mark.parametrize("name", NODES)
def test_ray_asks_for_the_token(name: str) -> None:
    service = SERVICES[name]
    assert service["environment"]["RAY_AUTH_MODE"] == "token"
    assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
    assert "ray_token" in service["secrets"]
    assert service["shm_size"] == "2gb"
    assert service["volumes"] == ["work:/data"]


def test_no_secret_is_in_the_file() -> None:
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|CREDENTIALS|USER", key):
                assert value.startswith("/run/secrets/")
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_make_secrets_makes_every_secret_of_the_file_once(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((DOCKER / "make-secrets.sh").read_bytes())
    subprocess.run(["sh", script], check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert {f"secrets/{name}" for name in made} == {secret["file"] for secret in COMPOSE["secrets"].values()}
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert made["s3_user"] in made["s3_credentials"]
    assert made["s3_password"] in made["s3_credentials"]
    assert min(map(len, made.values())) >= 20
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert made == {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}


def test_prometheus_asks_every_node_where_it_answers() -> None:
    [job] = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])["scrape_configs"]
    [found] = job["dns_sd_configs"]
    assert found["names"] == list(NODES)
    assert all(f"--metrics-export-port={found['port']}" in SERVICES[name]["entrypoint"] for name in NODES)


def test_grafana_finds_its_dashboard_where_it_looks() -> None:
    mounted = {item["source"]: item["target"] for item in SERVICES["grafana"]["configs"]}
    assert set(mounted) <= set(COMPOSE["configs"])
    [provider] = yaml.safe_load(COMPOSE["configs"]["grafana_provider"]["content"])["providers"]
    assert Path(mounted["grafana_dashboard"]).parent == Path(provider["options"]["path"])
    assert (DOCKER / COMPOSE["configs"]["grafana_dashboard"]["file"]).is_file()
    [source] = yaml.safe_load(COMPOSE["configs"]["grafana_datasource"]["content"])["datasources"]
    assert source["url"] == "http://prometheus:9090"
