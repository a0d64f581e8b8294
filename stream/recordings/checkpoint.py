"""How far a video is, on the disk: a job that is killed goes on inside the video, and ends with the same events.

Two files a video. The journal gets a line for each event, and each view to be drawn. The checkpoint, in one piece and
never half, says up to where the journal counts, and holds the tracker and the account of the recording as they were
then. Both belong to one run identity; what belongs to another, or is damaged, is not used.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hoiclip.files import sync_folder, write_whole
from hoiclip.types import Canvas
from stream.decode.wire import Counts
from stream.events.schema import Event, parse_event
from stream.ingest.coverage import CoverageGap, RecordingAccount
from stream.ingest.source_state import RecordingPosition
from stream.ingest.stillness import GateState, View
from stream.run.source_run import SavedRun
from stream.track.saved import Arrays, part, prefixed
from stream.track.transitions import PairView

if TYPE_CHECKING:
    from stream.recordings.render import View as DrawnView

logger = logging.getLogger(__name__)

_MAGIC: Final = b"hoistream checkpoint 1 "  # then the SHA-256 of what follows, and a line break
_RECORD: Final = "record"  # the array that holds the JSON


class _UnusableError(ValueError):
    """A checkpoint that cannot be gone on from; the text says why."""


@dataclass(frozen=True)
class Saved:
    """What a video goes on from."""

    run: SavedRun
    position: RecordingPosition
    engines: tuple[str, ...]  # with their canvases, in the order in which they were needed
    length_s: float
    seconds: float  # wall, until then
    events: list[Event]
    views: list[DrawnView]


class Checkpoints:
    """The checkpoint and the journal of one video; used from one thread at a time."""

    def __init__(self, out: Path, name: str, run_id: str, *, with_views: bool) -> None:
        self._checkpoint, self._journal = checkpoint_paths(out, name)
        self._run_id, self._with_views = run_id, with_views
        self._lines: list[bytes] = []  # not written yet
        self._num_bytes = 0  # of the journal, with what is written
        self._digest = hashlib.sha256()  # of the same
        self._is_begun = False  # whether what is in the journal is ours

    def load(self) -> Saved | None:
        """Return what to go on from; None, with a line in the log where that is worth one, to begin from the start."""
        try:
            data = self._checkpoint.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("%s: cannot be read (%s); the video begins anew", self._checkpoint, error.strerror)
            return None
        try:
            saved = self._parse(data)
        except _UnusableError as error:
            logger.warning("%s: %s; the video begins anew", self._checkpoint, error)
            self.forget()
            return None
        logger.info("%s: goes on at %.1f s", self._checkpoint.name, saved.position.account.media_s)
        return saved

    def forget(self) -> None:
        """Begin anew: what lies on the disk does not count."""
        self._num_bytes, self._digest, self._is_begun = 0, hashlib.sha256(), False

    def _parse(self, data: bytes) -> Saved:
        head, _, body = data.partition(b"\n")
        if head != _MAGIC + hashlib.sha256(body).hexdigest().encode():
            raise _UnusableError("damaged, or of another release")
        try:
            with np.load(io.BytesIO(body), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            record = json.loads(arrays.pop(_RECORD).tobytes())
            if record["run_id"] != self._run_id or record["with_views"] != self._with_views:
                raise _UnusableError("of other content, model or settings")
            events, views = self._read_journal(int(record["journal_bytes"]), str(record["journal_sha256"]))
            return Saved(
                SavedRun(record["run"], part("run", arrays)),
                RecordingPosition(_account(record["account"]), _gate(record["gate"], part("gate", arrays))),
                tuple(map(str, record["engines"])),
                float(record["length_s"]),
                float(record["seconds"]),
                events,
                views,
            )
        except _UnusableError:
            raise
        except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise _UnusableError(f"not understood ({type(error).__name__})") from error

    def _read_journal(self, num_bytes: int, sha256: str) -> tuple[list[Event], list[DrawnView]]:
        """Return what the journal held at the checkpoint; what came later is cut off."""
        with self._journal.open("r+b") as file:
            data = file.read(num_bytes)
            self._digest = hashlib.sha256(data)
            if len(data) != num_bytes or self._digest.hexdigest() != sha256:
                raise _UnusableError("its journal is damaged")
            file.truncate(num_bytes)
        self._num_bytes, self._is_begun = num_bytes, True
        events: list[Event] = []
        views: list[DrawnView] = []
        for line in data.splitlines():
            if line.startswith(b"["):
                views.append(_view(json.loads(line)))
            else:
                events.append(parse_event(line))
        return events, views

    def note_event(self, event: Event) -> None:
        """Keep an event for the journal."""
        self._lines.append(event.model_dump_json().encode() + b"\n")

    def note_view(self, view: DrawnView) -> None:
        """Keep what is to be drawn from a time on for the journal."""
        t_s, pairs = view
        self._lines.append(json.dumps([t_s, [asdict(pair) for pair in pairs]]).encode() + b"\n")

    def save(
        self,
        run: SavedRun,
        position: RecordingPosition,
        engines: Sequence[str],
        length_s: float,
        seconds: float,
    ) -> None:
        """Write what was noted and the state that goes with it; both are on the disk afterwards. Raises OSError."""
        self._append()
        gate = position.gate
        record = {
            "run_id": self._run_id,
            "with_views": self._with_views,
            "journal_bytes": self._num_bytes,
            "journal_sha256": self._digest.hexdigest(),
            "run": run.record,
            "account": asdict(position.account),
            "gate": None if gate is None else gate._replace(looked=None),
            "engines": list(engines),
            "length_s": length_s,
            "seconds": seconds,
        }
        body = io.BytesIO()
        text = np.frombuffer(json.dumps(record, allow_nan=False).encode(), np.uint8)
        looked = {} if gate is None or gate.looked is None else {"looked": gate.looked}
        arrays: dict[str, Any] = {**prefixed("run", run.arrays), **prefixed("gate", looked), _RECORD: text}
        np.savez(body, **arrays)
        payload = body.getvalue()
        write_whole(self._checkpoint, _MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)

    def _append(self) -> None:
        data = b"".join(self._lines)
        with self._journal.open("r+b" if self._is_begun else "wb") as file:
            file.seek(self._num_bytes)  # a save that failed may have left more behind it
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        if not self._is_begun:
            sync_folder(self._journal.parent)
        self._is_begun = True
        self._lines.clear()
        self._num_bytes += len(data)
        self._digest.update(data)

    def remove(self) -> None:
        """Remove both files: the video is over. Raises OSError."""
        self._checkpoint.unlink(missing_ok=True)  # first: a checkpoint without its journal would be told as damaged
        self._journal.unlink(missing_ok=True)


def checkpoint_paths(out: Path, name: str) -> tuple[Path, Path]:
    """Return where the checkpoint and the journal of the video called `name` are while it is under way."""
    return out / f"{name}.checkpoint", out / f"{name}.journal"


def _account(values: dict[str, Any]) -> RecordingAccount:
    cause = values["cause"]
    return RecordingAccount(
        **{
            **values,
            "counts": Counts(**values["counts"]),
            "cause": None if cause is None else tuple(cause),
            "gaps": tuple(CoverageGap(**gap) for gap in values["gaps"]),
        }
    )


def _gate(values: list[Any] | None, arrays: Arrays) -> GateState | None:
    if values is None:
        return None
    gate = GateState._make(values)
    view = None if gate.view is None else View(Canvas(*gate.view[0]), *gate.view[1:])
    return gate._replace(view=view, looked=arrays.get("looked"))


def _view(values: list[Any]) -> DrawnView:
    t_s, pairs = values
    return float(t_s), [_pair(pair) for pair in pairs]


def _pair(values: dict[str, Any]) -> PairView:
    boxes = {name: tuple(values[name]) for name in ("human_box_xyxy_px", "object_box_xyxy_px")}
    interactions = tuple((str(name), float(score)) for name, score in values["interactions"])
    return PairView(**{**values, **boxes, "interactions": interactions})
