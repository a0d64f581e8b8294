"""Pre-drawn pictures of the synthetic world: memory-mapped pixels, so that training never waits for drawing."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from hoiclip.errors import InputError
from hoiclip.files import replacing, write_whole
from hoiclip.synthetic.clip_pictures import draw_clip_pictures
from hoiclip.synthetic.scene import Split, draw_picture

SHARD = 2000  # pictures a file
A_CLIP = 16  # frames taken of one clip


class Shards(NamedTuple):
    """All shards of a folder, in order."""

    pixels: list[NDArray[np.uint8]]  # each [n, H, W, 3], memory-mapped
    annotations: list[dict[str, Any]]  # one a picture

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return RGB pixels [H, W, 3] of picture `index`."""
        for part in self.pixels:
            if index < len(part):
                picture: NDArray[np.uint8] = part[index]
                return picture
            index -= len(part)
        raise IndexError(index)


def draw_shards(
    directory: Path,
    *,
    first_seed: int,
    count: int,
    height: int = 256,
    width: int = 448,
    split: Split = "train",
    clips: bool = False,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw `count` pictures from seeds `first_seed`… into `directory`; shards that exist already are kept.

    With `clips` they are frames of clips, 16 of each, from clip seeds `first_seed`….
    """
    directory.mkdir(parents=True, exist_ok=True)
    a_seed = A_CLIP if clips else 1
    jobs = [(first_seed + start // a_seed, min(SHARD, count - start)) for start in range(0, count, SHARD)]
    draw = partial(_draw_shard, directory, height, width, split, clips)
    done = 0
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(draw, jobs):
            done += 1
            if progress:
                progress(done, len(jobs))


def _draw_shard(directory: Path, height: int, width: int, split: Split, clips: bool, job: tuple[int, int]) -> None:
    cv2.setNumThreads(1)
    first, count = job
    stem = f"{split}{'-clips' if clips else ''}-{first:09d}"
    pixels_path, notes_path = directory / f"{stem}.npy", directory / f"{stem}.json"
    if notes_path.exists():  # written last
        return
    notes = []
    with replacing(pixels_path) as part:
        pixels = open_memmap(part, mode="w+", dtype=np.uint8, shape=(count, height, width, 3))
        for i, (picture, annotation) in enumerate(_drawn(first, count, height, width, split, clips)):
            pixels[i] = picture
            notes.append(annotation)
        pixels.flush()
    write_whole(notes_path, json.dumps(notes))


def _drawn(
    first: int, count: int, height: int, width: int, split: Split, clips: bool
) -> Iterator[tuple[NDArray[np.uint8], dict[str, Any]]]:
    if clips:
        for start in range(0, count, A_CLIP):
            yield from draw_clip_pictures(first + start // A_CLIP, min(A_CLIP, count - start), height, width, split)
        return
    for seed in range(first, first + count):
        yield draw_picture(seed, height, width, split)


def open_shards(directory: Path, limit: int | None = None, share: float = 1.0) -> Shards:
    """Memory-map the finished shards of `directory`: the first `share` of each file, at most `limit` pictures in all.

    Raises InputError if there is none.
    """
    pixels: list[NDArray[np.uint8]] = []
    annotations: list[dict[str, Any]] = []
    for notes in sorted(directory.glob("*-*[0-9].json")):
        part = np.load(notes.with_suffix(".npy"), mmap_mode="r")
        keep = max(1, round(share * len(part)))
        if limit is not None:
            keep = min(keep, limit - len(annotations))
        if keep == 0:
            break
        pixels.append(part[:keep])
        annotations += json.loads(notes.read_text(encoding="utf-8"))[:keep]
    if not pixels:
        raise InputError(
            f"{directory}: no drawn pictures there; `hoistream train CONFIG` draws what its `data` section asks for"
        )
    return Shards(pixels, annotations)
