"""What can be made again: where it is kept, and builds by everything that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

_FACTS = "facts.json"


def cache_directory() -> Path:
    """Return where classifiers and engines are cached: ``HOISTREAM_CACHE`` or the user's cache directory."""
    return Path(os.environ.get("HOISTREAM_CACHE") or user_cache_path("hoistream"))


@dataclass(frozen=True)
class Entry:
    """One finished build."""

    path: Path
    facts: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


class BuildCache:
    """Builds by their facts; a folder appears complete or not at all."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or cache_directory()) / "engines"

    def folder(self, facts: dict[str, Any]) -> Path:
        """Return the folder of the build with exactly these facts; it need not exist."""
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
        return self.root / f"{facts['kind']}-{key}"

    def find(self, facts: dict[str, Any]) -> Path | None:
        """Return the finished build with exactly these facts, or None: another version's build is never returned."""
        folder = self.folder(facts)
        try:
            stored = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return folder if stored == json.loads(json.dumps(facts)) else None

    def begin(self, facts: dict[str, Any]) -> Path:
        """Return an empty folder to build in, this process's own; hand it to `commit`."""
        folder = self.folder(facts)
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        return part

    def commit(self, facts: dict[str, Any], part: Path) -> Path:
        """Move a finished build into place and return its folder."""
        folder = self.folder(facts)
        (part / _FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
        return folder

    def entries(self) -> list[Entry]:
        """Return finished builds, by name."""
        entries = []
        for path in sorted(self.root.glob(f"*/{_FACTS}")):
            if not path.parent.name.endswith(".part"):
                with suppress(OSError, ValueError):  # damaged facts: `find` does not return it either
                    entries.append(Entry(path.parent, json.loads(path.read_text(encoding="utf-8"))))
        return entries

    def prune(self) -> int:
        """Remove every build, finished or not; return the bytes freed."""
        freed = sum(file.stat().st_size for file in self.root.rglob("*") if file.is_file())
        shutil.rmtree(self.root, ignore_errors=True)
        return freed
