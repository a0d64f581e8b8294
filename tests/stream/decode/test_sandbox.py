"""What a decoder may not do, tried in a process that was confined like one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.supervisor import SourceSupervisor

ROOT = Path(__file__).resolve().parents[3]
CANVAS = (Canvas(32, 48),)


def try_confined(url: str, kind: str, attempts: str, *arguments: str) -> list[str]:
    """Run `attempts` after `confine` for a source; each line that it prints comes back."""
    code = f"""
import os, signal, socket, subprocess, sys
from hoiclip.types import Canvas
from stream.decode.sandbox import confine
from stream.decode.sources import SourceSettings
def attempt(name, call):
    try:
        call()
    except OSError as error:
        print(name, type(error).__name__)
    else:
        print(name, "done")
print(*confine(SourceSettings("s", {url!r}, {kind!r}, (Canvas(32, 48),))), sep=", ")
{attempts}
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture
def landlock() -> None:
    """Skip where neither the package nor the kernel can do it; in CI the package has to be there."""
    if find_spec("landlockpy") is None:
        if os.environ.get("CI"):
            pytest.fail("landlockpy is not installed: pip install 'hoistream[run]'")
        pytest.skip("landlockpy is not installed")
    import landlockpy

    if not landlockpy.supported():
        pytest.skip("this kernel has no Landlock")


def test_a_confined_process_writes_no_file_and_dumps_no_core(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    attempts = """
import resource
print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_FSIZE))
attempt("write", lambda: os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b"x"))
"""
    held, limits, write = try_confined(str(make_clip()), "file", attempts, str(tmp_path / "new"))
    assert "core dumps" in held
    assert limits == "(0, 0) (0, 0)"
    assert write in ("write OSError", "write PermissionError")
    assert not (tmp_path / "new").exists() or (tmp_path / "new").read_bytes() == b""


def test_a_recordings_decoder_reads_its_file_and_no_other(
    landlock: None, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret")
    attempts = f"""
attempt("clip", lambda: open(sys.argv[1], "rb").read(1))
attempt("secret", lambda: open(sys.argv[2]).read())
attempt("list", lambda: os.listdir(os.path.dirname(sys.argv[1])))
attempt("environment", lambda: open("/proc/{os.getpid()}/environ").read())
attempt("passwords", lambda: open("/etc/passwd").read())
attempt("program", lambda: subprocess.run(["/bin/true"]))
attempt("signal", lambda: os.kill({os.getpid()}, signal.SIGCONT))
attempt("make", lambda: open(sys.argv[2] + ".new", "w"))
import wave  # a module of the standard library that is imported late
print("import done")
"""
    clip = make_clip()
    held, *lines = try_confined(str(clip), "file", attempts, str(clip), str(secret))
    assert "other files (Landlock)" in held
    refused = ("secret", "list", "environment", "passwords", "program", "signal", "make")
    assert lines == ["clip done", *(f"{name} PermissionError" for name in refused), "import done"]


def test_a_recordings_decoder_has_no_network(landlock: None, make_clip: Callable[..., Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempts = f'attempt("tcp", lambda: socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 2))'
        held, tcp = try_confined(str(make_clip()), "file", attempts)
    assert tcp in ("tcp PermissionError", "tcp OSError")
    assert "other TCP ports (Landlock)" in held or "the network" in held


def test_a_cameras_decoder_speaks_to_its_port_only_and_reads_what_names_need(landlock: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as camera, socket.create_server(("127.0.0.1", 0)) as other:
        camera_port, other_port = camera.getsockname()[1], other.getsockname()[1]
        attempts = f"""
attempt("camera", lambda: socket.create_connection(("127.0.0.1", {camera_port}), 2))
attempt("other", lambda: socket.create_connection(("127.0.0.1", {other_port}), 2))
attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)))
attempt("names", lambda: socket.getaddrinfo("localhost", 80))
attempt("hosts", lambda: open("/etc/hosts").read())
attempt("passwords", lambda: open("/etc/passwd").read())
"""
        held, *lines = try_confined(f"rtsp://user:s3cret@127.0.0.1:{camera_port}/a", "live", attempts)
    if "other TCP ports (Landlock)" not in held:
        pytest.skip("this kernel's Landlock has no rules for ports")
    assert lines == [
        "camera done",
        "other PermissionError",
        "listen PermissionError",
        "names done",
        "hosts done",
        "passwords PermissionError",
    ]


def test_a_new_resolver_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stream.decode import sandbox

    settings = tmp_path / "resolv.conf"
    settings.write_text("nameserver 127.0.0.1\n")
    monkeypatch.setattr(sandbox, "RESOLVER_SETTINGS", settings)
    watch = sandbox.ResolverWatch()
    settings.write_text("nameserver 127.0.0.2\n")  # changed in place: can still be read
    assert not watch.replaced()
    (tmp_path / "new").write_text("nameserver 127.0.0.3\n")
    (tmp_path / "new").replace(settings)
    assert watch.replaced()


def test_a_decoder_finds_no_secret_in_its_environment_or_command_line(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOISTREAM_REDIS_URL", "REDIS_PASSWORD", "AWS_SECRET_ACCESS_KEY", "http_proxy", "PYTHONPATH"):
        monkeypatch.setenv(name, "redis://:s3cret@host")
    monkeypatch.setenv("TZ", "UTC")
    source = SourceSettings("cam", f"file://{make_clip()}", "live", CANVAS)
    with SourceSupervisor([source]) as supervisor:
        deadline_s = time.monotonic() + 20
        while not supervisor.connected()["cam"]:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        process = Path(f"/proc/{supervisor.pids()['cam']}")
        environment = dict(line.split("=", 1) for line in process.joinpath("environ").read_text().split("\0") if line)
        command = process.joinpath("cmdline").read_text()
    assert "s3cret" not in str(environment)
    assert environment["TZ"] == "UTC"
    assert set(environment) <= {
        "TZ",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "LD_LIBRARY_PATH",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
    }
    assert source.url not in command


PIPELINE = """
import sys
{path}
from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
frames = 0
with SourceSupervisor([SourceSettings("a", sys.argv[1], "file", (Canvas(32, 48),), target_fps=None)]) as supervisor:
    for item in FrameBatcher(supervisor, 4, 0.0):
        if isinstance(item, Batch):
            frames += len(item.meta)
        elif item.kind == "opened":
            command = open(f"/proc/{{supervisor.pids()['a']}}/cmdline").read().split("\\0")
            print(command[4])
        else:
            print(item.kind, item.detail)
print(frames)
"""


@pytest.mark.parametrize("looks_in_working_directory", [False, True])
def test_stray_modules_in_the_working_directory_are_never_executed(
    tmp_path: Path, make_clip: Callable[..., Path], looks_in_working_directory: bool
) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    # With the working directory on the pipeline's own path (a notebook) what it imports itself cannot be a stray.
    strays = ["av"] if looks_in_working_directory else ["av", "stream", "hoiclip", "numpy", "json", "landlockpy"]
    for name in strays:
        (downloads / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})\n")
    isolated = [] if looks_in_working_directory else ["-P"]
    done = subprocess.run(
        [sys.executable, *isolated, "-c", PIPELINE.format(path=""), str(make_clip(seconds=1))],
        capture_output=True,
        text=True,
        cwd=downloads,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert not (tmp_path / "executed").exists()
    assert done.stdout.splitlines() == [str(ROOT), "ended ", "25"], done.stderr


def test_decoders_run_the_code_of_their_pipeline_wherever_that_lies(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    import shutil

    site = tmp_path / "site"  # as `pip install --target` lays it
    for package in ("hoiclip", "stream"):
        shutil.copytree(ROOT / package, site / package, ignore=shutil.ignore_patterns("__pycache__", "_shipped"))
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            PIPELINE.format(path=f"sys.path.insert(0, {str(site)!r})"),
            str(make_clip(seconds=1)),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stdout.splitlines() == [str(site), "ended ", "25"], done.stderr


def test_a_decoder_goes_on_decoding_when_it_is_confined(landlock: None, make_clip: Callable[..., Path]) -> None:
    frames = 0
    with SourceSupervisor(
        [SourceSettings("a", str(make_clip(seconds=1)), "file", CANVAS, target_fps=None)]
    ) as supervisor:
        for item in FrameBatcher(supervisor, 4, 0.0):
            frames += len(item.meta) if isinstance(item, Batch) else 0
    assert frames == 25
