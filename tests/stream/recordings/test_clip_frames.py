from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.recordings.clip_frames import read_clip, read_spread

CANVAS = Canvas(32, 48)


@pytest.mark.parametrize("count", [1, 3, 7, 100])
def test_frames_are_spread_over_a_recording_in_order(make_clip: Callable[..., Path], count: int) -> None:
    frames = read_spread(make_clip(seconds=1), CANVAS, count)  # grey level 8 a frame, 25 frames
    assert frames.shape == (min(count, 25), 32, 48, 3)
    levels = frames[:, 20:, 20:].reshape(len(frames), -1).mean(1)
    assert np.all(np.diff(levels) > 4)
    if count > 1:
        assert levels[0] == pytest.approx(0, abs=5)
        assert levels[-1] == pytest.approx(8 * 24, abs=8 * 25 / count + 5)


def test_a_stretch_of_a_recording_is_read_from_the_middle(make_clip: Callable[..., Path]) -> None:
    frames = list(read_clip(make_clip(seconds=4), CANVAS, fps=None, start_s=2.52, end_s=3.0))
    assert [frame.t_s for frame in frames] == pytest.approx([2.52 + n / 25 for n in range(13)])
    assert frames[0].pixels[20:, 20:].mean() == pytest.approx(8 * (63 % 25), abs=5)


def test_what_is_no_recording_is_refused_with_its_name_and_nothing_beside_it_is_opened(
    make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{make_clip('clip.ts')}\n")
    with pytest.raises(InputError, match=r"list\.m3u8: has a format that is not read"):
        read_spread(playlist, CANVAS, 3)
    with pytest.raises(InputError, match="no frame from 9 s"):
        list(read_clip(make_clip(), CANVAS, start_s=9.0))
