"""JSON that somebody else wrote: a value, or a ValueError."""

from __future__ import annotations

import json
from typing import Any

UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What Python raises where a value in a document is not of the expected kind, or too large."""


def parse_json(data: bytes | str) -> Any:
    """Return the value of a JSON document. Raises ValueError, also for one that is nested too deep."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
