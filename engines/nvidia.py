"""Whether an NVIDIA GPU can be used, asked of its driver: neither torch nor CUDA's packages are needed."""

from __future__ import annotations

import ctypes
import os

_LIBRARY = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"


def gpu_name() -> str | None:
    """Return the name of the first usable GPU, or None without a driver or a GPU.

    Source: CUDA Driver API, cuInit, cuDeviceGetCount, cuDeviceGet, cuDeviceGetName; 0 is success.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    count, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or count.value < 1:
        return None
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, len(name), device):
        return None
    return name.value.decode()
