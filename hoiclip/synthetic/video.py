"""Render clips to H.264 with every box and the exact start and end of each interaction."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import InputError
from hoiclip.files import replacing, write_whole
from hoiclip.synthetic.clip import Clip, plan_clip
from hoiclip.synthetic.scene import Split, visible_box, with_implied

MAX_GAP_S = 1.0  # somebody passing in front does not end an interaction
MIN_LENGTH_S = 0.5  # shorter ones (a glimpse at the frame's edge) are not counted
Pair = tuple[int, int, str]


def write_video(
    path: Path,
    seed: int,
    seconds: float = 15.0,
    fps: int = 25,
    height: int = 512,
    width: int = 896,
    *,
    split: Split = "train",
) -> dict[str, Any]:
    """Write a clip as H.264 to `path` and its annotation as JSON beside it; return the annotation.

    Equal arguments give equal pixels. Unseen interactions appear only with ``split="test"``. The annotation is
    described in `render`. Raises InputError for sizes that H.264 cannot take.
    """
    clip = plan_clip(seed, seconds, aspect=width / height, split=split)
    return render(clip, path, seconds, fps=fps, height=height, width=width)


def render(
    clip: Clip,
    path: Path,
    seconds: float,
    *,
    fps: int = 25,
    height: int = 512,
    width: int = 896,
    crf: int = 23,
    preset: str = "veryfast",
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Encode `clip` to `path`, write ``<stem>.json`` beside it and return what it holds.

    Keys: `video`, `width`, `height`, `fps`, `num_frames`, `seed`; `interactions`, each with `id`, `human_id`,
    `object_id`, `verb`, `object`, `name` and [`start_s`, `end_s`); and `frames`, one each frame, with `t_s`, `humans`
    (`id`, `bbox`) and `objects` (`id`, `object`, `bbox`), boxes xyxy in pixels. Who or what is hidden or outside by
    more than 70 % has no box; an interaction lasts while it goes on and both have one, gaps of up to 1 s included.
    """
    if height % 2 or width % 2 or height < 64 or width < 64:
        raise InputError(f"a video of {width}x{height}: H.264 needs an even width and height of at least 64")
    num_frames = round(seconds * fps)
    if num_frames < 1:
        raise InputError(f"a video of {seconds} s at {fps} frames a second has no frame")
    frames: list[dict[str, Any]] = []
    seen: dict[Pair, list[int]] = defaultdict(list)
    with replacing(path) as part:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = Fraction(1, fps)
            # x264's macroblock tree reads memory that it never set: without it equal frames give equal files
            stream.options = {
                "crf": str(crf), "preset": preset, "threads": "1", "g": str(2 * fps), "x264-params": "mbtree=0",
            }  # fmt: skip
            for index in range(num_frames):
                image, facts = _frame(clip, index, fps, height, width, seen)
                frames.append(facts)
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture.pts, picture.time_base = index, Fraction(1, fps)
                container.mux(stream.encode(picture))
                if progress is not None:
                    progress(1)
            container.mux(stream.encode(None))
        annotation = {
            "video": path.name,
            "width": width,
            "height": height,
            "fps": fps,
            "num_frames": num_frames,
            "seed": clip.seed,
            "interactions": _intervals(seen, fps),
            "frames": frames,
        }
        # first: a video that exists has its annotation
        write_whole(path.with_suffix(".json"), json.dumps(annotation, separators=(",", ":")) + "\n")
    return annotation


def _frame(
    clip: Clip, index: int, fps: int, height: int, width: int, seen: dict[Pair, list[int]]
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    image, brush, shown, doing = clip.draw(index / fps, height, width)
    facts: dict[str, Any] = {"t_s": round(index / fps, 3), "humans": [], "objects": []}
    there = set()
    for number, kind, extent in shown:
        if (box := visible_box(extent, brush, height, width)) is None:
            continue
        there.add(number)
        if kind == "person":
            facts["humans"].append({"id": number, "bbox": box})
        else:
            facts["objects"].append({"id": number, "object": kind, "bbox": box})
    for human, thing, name in doing:
        if human in there and thing in there:
            for each in with_implied(name):
                seen[human, thing, each].append(index)
    return image, facts


def _intervals(seen: dict[Pair, list[int]], fps: int) -> list[dict[str, Any]]:
    """Return the interactions in the order of their start."""
    found = []
    for (human, thing, name), indices in seen.items():
        breaks = [i for i in range(1, len(indices)) if indices[i] - indices[i - 1] > MAX_GAP_S * fps]
        for first, last in zip([0, *breaks], [*breaks, len(indices)], strict=True):
            start_s, end_s = indices[first] / fps, (indices[last - 1] + 1) / fps
            if end_s - start_s >= MIN_LENGTH_S:
                found.append((start_s, end_s, human, thing, name))
    return [
        {
            "id": number,
            "human_id": human,
            "object_id": thing,
            "verb": name.split(" ")[0],
            "object": name.split(" ")[1],
            "name": name,
            "start_s": round(start_s, 3),
            "end_s": round(end_s, 3),
        }
        for number, (start_s, end_s, human, thing, name) in enumerate(sorted(found), 1)
    ]
