"""Errors of the engines."""

from __future__ import annotations

from hoiclip.errors import HoistreamError, InputError


class EngineError(HoistreamError):
    """An engine failed while building or running."""


class EngineUnavailableError(InputError):
    """The requested engine cannot run on this machine; the message says what to install or to choose."""
