from __future__ import annotations

from collections.abc import Iterator

import av.logging
import pytest


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """As the decoder process sets it: damage is known from what FFmpeg logs."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    yield
    av.logging.set_level(before)
