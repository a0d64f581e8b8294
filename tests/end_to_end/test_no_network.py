"""No packet leaves the machine from any command: the kernel counts, whatever library or process might try."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from hoiclip.shipped import shipped_model
from hoiclip.synthetic.dataset import write_pictures
from hoiclip.synthetic.video import write_video
from hoistream.cli import app
from tests.support.without_network import UNSHARE

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "tests" / "support" / "without_network.py"
FETCHES = "models get"  # the one command whose work is a download


class Use(NamedTuple):
    """A command at work, and what it ends with."""

    arguments: str  # {dir} is the folder of `place`
    code: int | None = 0  # None: it works until it is told to stop
    seconds: float = 90.0  # after which it is
    slow: bool = False


CONFIG = """
model: demo
sinks: ['jsonl:{dir}/run.jsonl', 'redis://:s3cret@127.0.0.1:1/0']
spool_dir: {dir}/spool
metrics: {{port: 0}}
sources:
  - {{id: camera, url: 'rtsp://127.0.0.1:1/live', target_fps: 2}}
  - {{id: clip, url: {dir}/v.mp4, kind: live, target_fps: 2}}
"""
USES = {
    "demo": [Use("--out {dir}/demo", seconds=240, slow=True)],
    "run": [
        Use("{dir}/run.yaml --seconds 3"),
        Use("{dir}/onnx.yaml --seconds 20", slow=True),  # ONNX Runtime would report ten seconds after it was loaded
    ],
    "batch": [
        Use("{dir}/v.mp4 --model demo --fps 2 --out {dir}/out --annotated"),
        Use("{dir}/v.mp4 --model demo --fps 2 --out {dir}/onnx --engine onnxruntime"),
        Use("{dir}/v.mp4 --model {dir}/model.safetensors --fps 2 --out {dir}/torch --engine torch", slow=True),
    ],
    "image": [Use("{dir}/pictures/*.jpg --model demo --annotated {dir}/annotated")],
    "subscribe": [Use("--url redis://:s3cret@127.0.0.1:1/0 --group g", None, 6)],
    "camera": [Use("{dir}/v.mp4 --port {port}", None, 6)],
    "teach": [Use("'a wink' --vocabulary {dir}/my.yaml --model demo --clip {dir}/v.mp4 --from 0.5 --to 2")],
    "calibrate": [Use("--video {dir}/v.mp4 --model demo --fps 2")],
    "train": [Use("{dir}/train.yaml --threads 1", None, 20)],
    "verbs": [Use("{dir}/pictures --model {dir}/model.safetensors --out {dir}/verbs.safetensors", slow=True)],
    "synth": [Use("--out {dir}/drawn --videos 1 --seconds 1 --pictures 1 --workers 1")],
    "doctor": [Use("")],
    "validate": [Use("{dir}/run.yaml")],
    "convert": [Use("{dir}/model.safetensors --out {dir}/converted.safetensors", 2)],
    "bundle": [
        Use("--model {dir}/none --out {dir}/none.bundle", 2),
        Use("--model {dir}/model.safetensors --canvas 64x112 --out {dir}/own.bundle", slow=True, seconds=250),
    ],
    "schema": [Use("--out {dir}/schema")],
    "replay": [Use("--url redis://127.0.0.1:1/0 --spool-dir {dir}/none", 2)],
    "eval hico": [Use("-p {dir}/none.json -a {dir}/pictures/annotations.json", 2)],
    "eval vcoco": [Use("-p {dir}/none.json -a {dir}/none.json", 2)],
    "eval events": [Use("-a {dir} -p {dir} --rerun --model demo --fps 2")],
    "eval robustness": [Use("-a {dir} --model demo --fps 2 --only fog --no-sizes", slow=True)],
    "eval model": [Use("--pictures {dir}/pictures --model demo")],
    "engine build": [
        Use("openvino --model demo --cache-dir {dir}/engines"),
        Use(
            "openvino --model demo --precision int8 --video {dir}/v.mp4 --frames 8 --cache-dir {dir}/int8",
            slow=True,
            seconds=250,
        ),
    ],
    "engine list": [Use("--cache-dir {dir}/engines")],
    "engine prune": [Use("--cache-dir {dir}/engines")],
    "engine verify": [Use("openvino --model demo --video {dir}/v.mp4 --frames 2 --cache-dir {dir}/engines")],
    "engine bench": [Use("openvino --model demo --rounds 3 --cache-dir {dir}/engines")],
    "models": [Use("")],
    "events": [Use("{dir}/none.db", 2)],
    "rules check": [Use("{dir}/rules.yaml")],
    "rules test": [Use("{dir}/rules.yaml --events {dir}/v.events.jsonl --from 7d")],
    "bench": [Use("--quick", slow=True, seconds=300)],
}


def commands(group: object, path: tuple[str, ...] = ()) -> list[str]:
    """Return every command of the command line, by the words that call it."""
    found: list[str] = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            found += commands(command, (*path, name))
        if not hasattr(command, "commands") or command.invoke_without_command:
            found.append(" ".join((*path, name)))
    return found


@pytest.fixture(scope="module")
def isolated() -> None:
    """Skip where network namespaces are not allowed; where they were promised that is a failure."""
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    if tried.returncode:
        message = f"no user namespaces here: {tried.stderr.strip()}"
        pytest.fail(message) if os.environ.get("HOISTREAM_NAMESPACES") else pytest.skip(message)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short drawn video, pictures and a configuration."""
    folder = tmp_path_factory.mktemp("place")
    write_video(folder / "v.mp4", 3, 3.0, fps=8, height=256, width=448)
    write_pictures(folder / "pictures", 3, 2, height=64, width=112, split="train")
    (folder / "v.events.jsonl").write_text("")
    rule = "{name: ride, lasts: {what: {verb: ride}, for_s: 1}}"
    (folder / "rules.yaml").write_text(f"rules: [{rule}]\n")
    (folder / "run.yaml").write_text(CONFIG.format(dir=folder))
    (folder / "onnx.yaml").write_text(CONFIG.format(dir=folder) + "engine: {kind: onnxruntime}\n")
    (folder / "model.safetensors").symlink_to(shipped_model() / "model.safetensors")
    (folder / "train.yaml").write_text((ROOT / "configs" / "train" / "world.yaml").read_text())
    return folder


def tried(command: list[str], tmp_path: Path, seconds: float = 90.0) -> tuple[int | None, int, str]:
    """Run a command without a network; return its exit code, what it tried to send out, and what it said."""
    report = tmp_path / "report.json"
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(
        [*UNSHARE, sys.executable, str(RUNNER), str(seconds), str(report), *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=seconds + 30,
    )
    assert report.exists(), done.stderr
    found = json.loads(report.read_text())
    return found["code"], found["attempts"], done.stdout + done.stderr


def test_the_table_holds_every_command() -> None:
    assert set(commands(typer.main.get_command(app))) == {*USES, FETCHES}


ATTEMPTS = {
    "a look-up": "import socket; socket.getaddrinfo('example.com', 80)",
    "a connection": "import socket; socket.create_connection(('192.0.2.1', 80), 1)",
    "a connection by IPv6": "import socket; socket.create_connection(('2001:db8::1', 80), 1)",
    "a datagram": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    "a child's child": "import os; os.fork() or os.fork() or __import__('socket').create_connection(('192.0.2.1', 80))",
}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_an_attempt_is_counted(what: str, isolated: None, tmp_path: Path) -> None:
    """The measure itself: what it would miss, it would miss below too."""
    _, attempts, _ = tried([sys.executable, "-c", f"{ATTEMPTS[what]}\nimport os\nos.wait()"], tmp_path)
    assert attempts > 0


def test_the_loopback_is_no_attempt(isolated: None, tmp_path: Path) -> None:
    code = "import socket; s = socket.create_server(('localhost', 0)); socket.create_connection(s.getsockname())"
    assert tried([sys.executable, "-c", code], tmp_path)[:2] == (0, 0)


def test_a_download_is_counted(isolated: None, tmp_path: Path) -> None:
    code, attempts, said = tried([sys.executable, "-m", "hoistream", *FETCHES.split(), "hoiclip-hico"], tmp_path)
    assert code == 1, said
    assert attempts > 0


@pytest.mark.parametrize(
    ("name", "use"),
    [
        pytest.param(name, use, id=f"{name} {use.arguments}", marks=[pytest.mark.slow] if use.slow else [])
        for name, uses in USES.items()
        for use in uses
    ],
)
def test_no_command_tries_to_leave_the_machine(
    name: str, use: Use, isolated: None, place: Path, tmp_path: Path, unused_port: int
) -> None:
    words: list[str] = []
    for word in shlex.split(use.arguments):
        filled = word.format(dir=place, port=unused_port)
        words += map(str, sorted(Path("/").glob(filled[1:]))) if "*" in filled else [filled]
    command = [sys.executable, "-m", "hoistream", *name.split(), *words]
    code, attempts, said = tried(command, tmp_path, use.seconds)
    assert code == use.code, said[-3000:]
    assert "Traceback" not in said or use.code is None  # worker processes do not like to be stopped
    assert attempts == 0, said[-3000:]


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
