"""Find videos in folders and read the few facts about a file that a batch job needs."""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hoiclip.errors import InputError
from hoiclip.hashes import short_hash

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".3gp", ".h264", ".hevc"}
)


class Video(NamedTuple):
    """A file to process and the name its outputs carry."""

    path: Path
    name: str  # unique in the job, safe as a file name and as a source id


def find_videos(paths: Sequence[Path]) -> list[Video]:
    """Return the videos among `paths` in a stable order; folders are searched recursively by suffix.

    A name is the file's stem; files of equal stems carry their folders' names as well. Raises InputError for a path
    that does not exist or when nothing is found.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(f for f in path.rglob("*") if f.suffix.lower() in VIDEO_SUFFIXES and f.is_file())
        elif path.is_file():
            files.append(path)
        elif path.exists():
            raise InputError(f"{path}: neither a regular file nor a folder; pipes and devices cannot be processed")
        else:
            raise InputError(f"{path}: no such file or folder")
    files = list(dict.fromkeys(file.resolve() for file in files))
    if not files:
        raise InputError(f"no videos in {', '.join(map(str, paths))}; looked for {', '.join(sorted(VIDEO_SUFFIXES))}")
    return [Video(file, name) for file, name in zip(files, _names(files), strict=True)]


def video_of(folder: Path, name: str) -> Path | None:
    """Return the video that the annotation NAME.json in `folder` is about, or None where it does not lie beside it."""
    document = json.loads((folder / f"{name}.json").read_bytes())
    named = folder / Path(str(document.get("video", ""))).name
    if named.is_file():
        return named
    beside = sorted(p for p in folder.glob(f"{glob.escape(name)}.*") if p.suffix.lower() in VIDEO_SUFFIXES)
    return beside[0] if beside else None


def _names(files: Sequence[Path]) -> list[str]:
    depth = 1
    while True:
        names = [_safe("-".join((*file.parts[-depth:-1], file.stem))) for file in files]
        repeated = {name for name in names if names.count(name) > 1}
        if not repeated:
            return names
        if depth >= max(len(file.parts) for file in files):  # stems differ by suffix only, or by unsafe letters
            return [f"{name}-{short_hash(str(file))[:6]}" for name, file in zip(names, files, strict=True)]
        depth += 1


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)[-60:] or "video"
