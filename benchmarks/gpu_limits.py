"""What bounds an engine on a GPU: its best matrix product, and the way frames take into its memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from hoiclip.types import Canvas

_SIDE = 8192  # of the square matrices whose product is the peak
_UPLOAD_BYTES = 1 << 28
_ROUNDS = 20


@dataclass(frozen=True)
class Limits:
    """Measured rates of one GPU."""

    tflop_per_s: dict[str, float]  # best matrix product, by precision: fp16, tf32, fp32
    upload_gb_per_s: float  # from pinned memory

    def frames_per_s(self, flop: float, canvas: Canvas, precision: str) -> float:
        """Return the roofline for frames that cost `flop` operations: arithmetic or upload, whichever is slower."""
        arithmetic = self.tflop_per_s[precision] * 1e12 / flop
        return min(arithmetic, self.upload_gb_per_s * 1e9 / (canvas.height * canvas.width * 3))

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def measure_limits() -> Limits:
    """Return the rates of the current GPU."""
    rates = {}
    for precision, kind in (("fp16", torch.float16), ("tf32", torch.float32), ("fp32", torch.float32)):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        a, b = (torch.randn(_SIDE, _SIDE, device="cuda", dtype=kind) for _ in range(2))
        rates[precision] = 2 * _SIDE**3 / _best_seconds(lambda a=a, b=b: a @ b) / 1e12  # type: ignore[misc]
    torch.backends.cuda.matmul.allow_tf32 = False
    host = torch.empty(_UPLOAD_BYTES, dtype=torch.uint8, pin_memory=True)
    device = torch.empty(_UPLOAD_BYTES, dtype=torch.uint8, device="cuda")
    upload = _UPLOAD_BYTES / _best_seconds(lambda: device.copy_(host, non_blocking=True)) / 1e9
    return Limits(rates, upload)


def _best_seconds(run: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return best
