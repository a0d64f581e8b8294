from __future__ import annotations

import pytest

from stream.commands.support.progress import Counters


def test_without_a_terminal_there_is_a_line_at_first_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with Counters() as counters:
        for done in range(1, 6):
            counters.update("pictures", done, 5, "loss 0.5")
        counters.update("videos", 2, 2)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["pictures 1/5 loss 0.5", "pictures 5/5 loss 0.5", "videos 2/2"]
    assert captured.out == ""
