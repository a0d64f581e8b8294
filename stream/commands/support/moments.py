"""Read a moment as people type it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from hoiclip.errors import InputError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_moment(text: str) -> Literal["beginning", "new"] | datetime | timedelta:
    """Return ``beginning``, ``new``, a time before now such as ``10m`` or ``2.5h``, or an ISO 8601 time.

    A time without a zone is local; a bare number is seconds since 1970. Raises ValueError for anything else.
    """
    if text == "beginning":
        return "beginning"
    if text == "new":
        return "new"
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        expected = "`beginning`, `new`, a time before now such as 10m or 2h, or 2026-11-23T14:02"
        raise ValueError(f"expected {expected}, got {text!r}") from None


def past_time(text: str) -> datetime:
    """Return the time that `parse_moment` reads, with one before now made absolute. Raises ValueError."""
    moment = parse_moment(text)
    if isinstance(moment, str):
        raise ValueError(f"expected a time such as 5m or 2026-11-23T14:02, got {text!r}")
    return datetime.now(UTC) - moment if isinstance(moment, timedelta) else moment


def past_time_option(name: str, text: str | None) -> datetime | None:
    """Return the time that an option says, None where it is not given. Raises InputError."""
    try:
        return past_time(text) if text is not None else None
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
