"""No secret of the pipeline can be read in `/proc` of a decoder, which eats what strangers send."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hoiclip.shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cret-of-the-pipeline"
REDIS = f"redis://user:{SECRET}@127.0.0.1:1/0"
CAMERA = f"rtsp://user:{SECRET}@127.0.0.1:1/live"
CLIP = shipped("assets/demo.mp4")
RUN = f"""
model: demo
sinks: ['jsonl:events.jsonl', '${{HOISTREAM_REDIS_URL}}']
spool_dir: spool
engine: {{kind: 'null'}}
sources:
  - {{id: camera, url: '${{CAMERA_URL}}'}}
  - {{id: clip, url: '{CLIP}', kind: live}}
"""
WATCH = """
import os, hoistream
clip = hoistream.Source(id="clip", url=str(hoistream.demo_clip()), kind="live")
sources = [hoistream.Source(id="camera", url=os.environ["CAMERA_URL"]), clip]
model = hoistream.load_model("demo")
redis = os.environ["HOISTREAM_REDIS_URL"]
with hoistream.watch(sources, model=model, engine="null", sinks=[redis], spool_dir="spool") as events:
    for event in events:
        pass
"""
BATCH = [str(CLIP), "--model", "demo", "--out", "out", "--fps", "30", "--engine", "onnxruntime", "--sink", REDIS]
PROGRAMS = {
    "run": ["-m", "hoistream", "run", "run.yaml"],
    "batch": ["-m", "hoistream", "batch", *BATCH],
    "watch": ["-c", WATCH],
}
DECODERS = {"run": 2, "batch": 1, "watch": 2}


@pytest.fixture
def working(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program at work, with secrets in its environment and its settings."""
    (tmp_path / "run.yaml").write_text(RUN)
    secrets = {"HOISTREAM_REDIS_URL": REDIS, "CAMERA_URL": CAMERA, "AWS_SECRET_ACCESS_KEY": SECRET, "TOKEN": SECRET}
    environment = {**os.environ, **secrets, "PYTHONPATH": str(ROOT)}
    log = (tmp_path / "log").open("w")
    with log:
        process = subprocess.Popen(
            [sys.executable, *PROGRAMS[request.param]], env=environment, cwd=tmp_path, stderr=log, text=True
        )
    yield process
    process.kill()
    process.wait()


def decoders(pid: int) -> list[Path]:
    """Return the folders in `/proc` of the decoders that a process has started, once they decode or try to."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with suppress(OSError):
                if "stream.decode.decoder" in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(Path(f"/proc/{child}"))
    return found


def shown(process: Path) -> str:
    """Return all that `/proc` shows of a process to others of its user: settings, words, names of open files, maps."""
    parts = [(process / name).read_bytes().decode(errors="replace") for name in ("environ", "cmdline", "comm", "maps")]
    for link in [process / "cwd", process / "exe", process / "root", *(process / "fd").iterdir()]:
        with suppress(OSError):
            parts.append(str(link.readlink()))
    for thread in (process / "task").iterdir():
        with suppress(OSError):
            parts.append((thread / "comm").read_text())
    return "\n".join(parts)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc")
@pytest.mark.parametrize(("working", "name"), [(name, name) for name in PROGRAMS], indirect=["working"])
def test_no_secret_can_be_read_in_proc_of_any_decoder(
    working: subprocess.Popen[str], name: str, tmp_path: Path
) -> None:
    end = time.monotonic() + 60
    seen: dict[str, str] = {}
    while len(seen) < DECODERS[name] or any("memfd" not in text for text in seen.values()):
        assert working.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < end, seen.keys()
        for process in decoders(working.pid):
            with suppress(OSError):  # it may just have ended
                seen[process.name] = shown(process)
        time.sleep(0.02)
    for text in seen.values():
        assert SECRET not in text
        assert "user:" not in text
        assert "TOKEN" not in text
    assert SECRET in Path(f"/proc/{working.pid}/environ").read_text()  # where the decoders might have had it from
    assert SECRET not in (tmp_path / "log").read_text()
