from __future__ import annotations

from pathlib import Path

import numpy as np

from hoiclip.synthetic.clip_pictures import draw_clip_pictures
from hoiclip.synthetic.world import INTERACTIONS, UNSEEN
from hoiclip.training.world.shards import draw_shards, open_shards


def test_frames_of_clips_are_annotated_inside_the_frame_and_never_show_what_is_held_out() -> None:
    names = set()
    for seed in (3, 4, 5):
        for picture, annotation in draw_clip_pictures(seed, 6, 128, 224):
            assert picture.shape == (128, 224, 3) and picture.dtype == np.uint8
            assert (annotation["height"], annotation["width"]) == (128, 224)
            for box in annotation["annotations"]:
                x0, y0, x1, y1 = box["bbox"]
                assert 0 <= x0 < x1 <= 224 and 0 <= y0 < y1 <= 128
            names |= {INTERACTIONS[note["hoi_category_id"] - 1] for note in annotation["hoi_annotation"]}
    assert len(names) >= 3 and not names & set(UNSEEN)


def test_shards_mix_pictures_and_frames_of_clips(tmp_path: Path) -> None:
    draw_shards(tmp_path, first_seed=0, count=3, height=64, width=112, workers=1)
    draw_shards(tmp_path, first_seed=0, count=18, height=64, width=112, clips=True, workers=1)
    shards = open_shards(tmp_path)
    assert len(shards.annotations) == 21
    again = list(draw_clip_pictures(1, 2, 64, 112))  # the second clip gives what the first left open
    at = next(i for i, part in enumerate(shards.pixels) if len(part) == 18)
    assert np.array_equal(shards.pixels[at][16], again[0][0])
