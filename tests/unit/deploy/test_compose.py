"""docker-compose.yml: what it starts exists, nothing is open, nothing floats."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cli.commands import app
from schemas.settings import Settings
from tests.unit.deploy.compose import FILE, OURS, ROOT, services

FILLED = {"POSTGRES_PASSWORD": "pg", "VALKEY_PASSWORD": "vk", "FLOWER_PASSWORD": "fl"}
PUBLISHED = {"web", "flower"}
OF_TRACES = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
HAS_WEB = "web_port" in Settings.model_fields

names = pytest.mark.parametrize("name", OURS)


def skip_without_web(name: str) -> None:
    if name == "web" and not HAS_WEB:
        pytest.skip("This version has no web server yet.")


def test_all_that_makes_a_whole_is_there() -> None:
    assert set(services()) == {"valkey", "postgres", *OURS}


@names
def test_a_services_command_is_one_of_afins_with_arguments_it_takes(name: str) -> None:
    skip_without_web(name)
    group: Any = typer.main.get_command(app)
    words = services()[name]["command"]
    group.commands[words[0]].make_context(words[0], list(words[1:]))


@names
def test_every_variable_is_a_setting(name: str) -> None:
    skip_without_web(name)
    known = {f"AFIN_{field.upper()}" for field in Settings.model_fields}
    # Read by the process that takes events, once there is one.
    known |= set() if HAS_WEB else {"AFIN_EVENT_SECRETS"}
    known |= OF_TRACES
    assert set(services()[name]["environment"]) <= known


def test_every_variable_of_the_image_is_a_setting() -> None:
    known = {f"AFIN_{field.upper()}" for field in Settings.model_fields}
    assert set(re.findall(r"\bAFIN_[A-Z_]+", (ROOT / "Dockerfile").read_text())) <= known


def test_only_web_and_flower_are_published_and_only_on_loopback() -> None:
    published = {name: service.get("ports", []) for name, service in services().items()}
    assert {name for name, ports in published.items() if ports} == PUBLISHED
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", ["FLOWER_PASSWORD", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"])
def test_a_missing_password_stops_the_start(name: str) -> None:
    uses = re.findall(rf"\$\{{{name}[^}}]*\}}", FILE.read_text())
    assert uses
    assert all(use.startswith(f"${{{name}:?") for use in uses)


def test_every_password_is_asked_for_in_the_example() -> None:
    asked = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    # With two dollars it is the container's own shell that puts the value in.
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", FILE.read_text()))
    assert used - {"AFIN_LOG_LEVEL", "AFIN_LOG_FORMAT"} - OF_TRACES <= asked


def test_images_of_others_are_pinned_to_a_full_version() -> None:
    images = [one["image"] for one in services().values() if "build" not in one]
    images += re.findall(r"^FROM ([\w./-]+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) >= 3
    assert all(re.search(r":\d+\.\d+(\.\d+)?-", image) for image in images)


def limits(service: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = service["deploy"]["resources"]["limits"]
    return found


@pytest.mark.parametrize("name", sorted(services()))
def test_each_has_limits_a_restart_policy_and_rotated_logs(name: str) -> None:
    service = services()[name]
    assert set(limits(service)) == {"cpus", "memory"}
    assert service["restart"] in {"unless-stopped", "on-failure"}
    assert service["logging"]["options"]["max-size"]


def test_the_gpu_is_reserved_in_its_profile_only() -> None:
    reserving = {
        name
        for name, service in services().items()
        if "reservations" in service["deploy"]["resources"]
    }
    assert reserving == {"gpu-cuda"}
    assert services()["gpu-cuda"]["profiles"] == ["gpu"]


def test_databases_reach_no_other_network() -> None:
    assert yaml.safe_load(FILE.read_text())["networks"]["inside"]["internal"] is True
    assert services()["valkey"]["networks"] == services()["postgres"]["networks"] == ["inside"]


def test_the_image_does_not_run_as_root() -> None:
    for target in (ROOT / "Dockerfile").read_text().split("\nFROM ")[-3:]:
        users = re.findall(r"^USER (\w+)", target, re.MULTILINE)
        assert users[-1:] in (["afin"], [])


def test_docker_itself_accepts_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    has_compose = docker is not None and (
        subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
        == 0
    )
    if not has_compose:
        pytest.skip("'docker compose' is not installed.")
    ended = subprocess.run(
        ["docker", "compose", "--file", str(FILE), "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **FILLED},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert set(json.loads(ended.stdout)["services"]) >= set(OURS) - {"gpu-cuda"}
