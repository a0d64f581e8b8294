"""Write the world to disk: folders of videos and of pictures, each from one seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from hoiclip.errors import InputError
from hoiclip.files import write_whole
from hoiclip.synthetic.scene import Split

SEEDS_A_RUN = 100_000  # so that runs of neighbouring seeds share nothing
Progress = Callable[[int], None]  # gets how many are done


def seed_of(seed: int, index: int) -> int:
    """Return the seed of the `index`-th picture or video of a run. Raises InputError past 100,000 of them."""
    if not 0 <= index < SEEDS_A_RUN:
        raise InputError(f"item {index} of a run: one seed gives at most {SEEDS_A_RUN} pictures or videos")
    if seed < 0:
        raise InputError(f"seed {seed}: expected 0 or more")
    return seed * SEEDS_A_RUN + index


def write_videos(
    out: Path,
    seed: int,
    count: int,
    *,
    seconds: float = 15.0,
    height: int = 512,
    width: int = 896,
    split: Split = "train",
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Write ``video_0000.mp4`` … with ``video_0000.json`` … beside them and return the videos' paths."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"video_{index:04d}.mp4" for index in range(count)]
    jobs = [(path, seed_of(seed, index), seconds, height, width, split) for index, path in enumerate(paths)]
    for done, _ in enumerate(_each(_video, jobs, workers), 1):
        if progress is not None:
            progress(done)
    return paths


def write_pictures(
    out: Path,
    seed: int,
    count: int,
    *,
    height: int = 256,
    width: int = 448,
    split: Split = "test",
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write ``000000.jpg`` … and ``annotations.json`` in HICO-DET's form (see `draw_picture`); return the latter."""
    out.mkdir(parents=True, exist_ok=True)
    jobs = [(out / f"{index:06d}.jpg", seed_of(seed, index), height, width, split) for index in range(count)]
    records: list[dict[str, Any]] = []
    for record in _each(_picture, jobs, workers):
        records.append(record)
        if progress is not None:
            progress(len(records))
    records.sort(key=lambda record: str(record["file_name"]))
    path = out / "annotations.json"
    write_whole(path, json.dumps(records, separators=(",", ":")) + "\n")
    return path


def _video(job: tuple[Path, int, float, int, int, Split]) -> None:
    from hoiclip.synthetic.video import write_video

    path, seed, seconds, height, width, split = job
    write_video(path, seed, seconds, height=height, width=width, split=split)


def _picture(job: tuple[Path, int, int, int, Split]) -> dict[str, Any]:
    from PIL import Image

    from hoiclip.synthetic.scene import draw_picture

    path, seed, height, width, split = job
    image, annotation = draw_picture(seed, height, width, split)
    Image.fromarray(image).save(path, quality=95)
    return {"file_name": path.name, **annotation}


def _each(work: Callable[[Any], Any], jobs: list[Any], workers: int) -> Iterator[Any]:
    """Yield results as they come, from `workers` spawned processes if more than one."""
    if workers <= 1 or len(jobs) <= 1:
        yield from map(work, jobs)
        return
    with _pool(min(workers, len(jobs))) as pool:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            yield done.result()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:  # after an error or Ctrl-C what has not started never starts
        pool.shutdown(wait=True, cancel_futures=True)
