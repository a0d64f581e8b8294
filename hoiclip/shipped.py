"""Where the files that come with hoistream lie: the demonstration model, its clip and the example configurations."""

from __future__ import annotations

from pathlib import Path

from hoiclip.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder such as ``assets/demo.mp4``, in a checkout or an installed wheel.

    Raises InputError when the installation lacks it.
    """
    for root in (_PACKAGE.parent, _PACKAGE / "_shipped"):
        if (root / name).exists():
            return root / name
    raise InputError(f"{name} is not part of this installation; reinstall hoistream or run from a full checkout")


def shipped_model() -> Path:
    """Return the bundle of the demonstration model."""
    return shipped("models/demo.bundle")
