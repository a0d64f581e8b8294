"""A real supervisor whose decoders say what a test tells them, over real pipes, in the real wire format."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hoiclip.types import Canvas
from stream.decode.ring import Ring
from stream.decode.sources import SourceSettings
from stream.decode.wire import Counts, Frame, Job, Message, MessageReader, Opened, encode_message
from stream.ingest.decoder_process import DecoderProcess
from stream.ingest.supervisor import SourceSupervisor

WIDE = Canvas(4, 8)


class ScriptedDecoder(DecoderProcess):
    """What the supervisor takes for a decoder process."""

    def __init__(self, job: Job, ring: Ring) -> None:
        messages_r, self._messages_w = os.pipe()
        errors_r, self._errors_w = os.pipe()
        self.messages, self.errors = os.fdopen(messages_r, "rb", 0), os.fdopen(errors_r, "rb", 0)  # type: ignore[assignment]
        os.set_blocking(messages_r, False)
        os.set_blocking(errors_r, False)
        self._reader, self._last_words = MessageReader(), b""
        self.job, self.ring, self.num_frames, self.last_s = job, ring, 0, job.last_media_s
        self.freed: list[int] = []
        self.killed = self.gone = False

    @property
    def pid(self) -> int:
        return 0

    def say(self, *messages: Message | bytes) -> None:
        """Write messages, or bytes that are none."""
        for message in messages:
            os.write(self._messages_w, message if isinstance(message, bytes) else encode_message(message))

    def open(self, epoch: int = 1) -> None:
        self.say(Opened(epoch, 640, 360, 25.0, "h264", None))

    def frame(self, slot: int, media_s: float, **changes: Any) -> Frame:
        """Paint a slot with the frame's number; return the message about it."""
        canvas = changes.get("canvas", self.job.settings.canvases[0])
        index = changes.get("index", self.num_frames)
        self.ring.frame(slot, canvas)[:] = index
        self.num_frames += 1
        captured_s = time.monotonic() if self.job.settings.live else None
        values: dict[str, Any] = {
            "slot": slot,
            "index": index,
            "media_s": media_s,
            "captured_s": captured_s,
            "width": 640,
            "height": 360,
            "canvas": canvas,
            "corrupt": False,
            "epoch": 1,
            "counts": Counts(decoded=self.num_frames),
        }
        return Frame(**(values | changes))

    def die(self) -> None:
        """As a process does that ends."""
        self.gone = True
        for fd in (self._messages_w, self._errors_w):
            with contextlib.suppress(OSError):
                os.close(fd)

    def release(self, slots: Any) -> None:
        self.freed += list(slots)

    def ask_to_end(self) -> None:
        """The pipe to a process that is not there."""

    def kill(self) -> None:
        if not self.gone:
            self.killed = True
            self.die()

    def how_it_ended(self, patience_s: float = 0.0) -> str | None:
        if not self.gone:
            return None
        self.messages.close()
        self.errors.close()
        return "signal 9"


class Stage:
    """A supervisor and its scripted decoders; `supervisor` is the real one."""

    def __init__(self) -> None:
        self.decoders: dict[str, list[ScriptedDecoder]] = {}
        self.refusals: list[OSError] = []  # raised instead of starting a decoder, one a start
        self.supervisor = SourceSupervisor(start_decoder=self._start)

    def _start(self, job: Job, ring: Ring) -> DecoderProcess:
        if self.refusals:
            raise self.refusals.pop(0)
        decoder = ScriptedDecoder(job, ring)
        self.decoders.setdefault(job.settings.id, []).append(decoder)
        return decoder

    def add(self, name: str, kind: str = "file", **settings: Any) -> ScriptedDecoder:
        """Add a source and return its first decoder, which has said that it is open."""
        values: dict[str, Any] = {"canvases": (WIDE,), "slots": 30, "backoff_initial_s": 0.01, "backoff_max_s": 0.02}
        self.supervisor.add(SourceSettings(name, "/nowhere", kind, **(values | settings)))  # type: ignore[arg-type]
        decoder = self.decoder(name)
        decoder.open()
        return decoder

    def decoder(self, name: str, number: int = 0) -> ScriptedDecoder:
        """Return the decoder of a source, once it has been started `number` times before."""
        self.wait(lambda: len(self.decoders.get(name, [])) > number)
        return self.decoders[name][number]

    def add_with_frames(self, name: str, count: int, *, age_s: float | None = None, **settings: Any) -> ScriptedDecoder:
        """Add a source with frames that wait, its message "opened" taken; frame i lies in slot i, painted with i."""
        decoder = self.add(name, "file" if age_s is None else "live", **settings)
        for number in range(count):
            captured_s = None if age_s is None else time.monotonic() - age_s
            decoder.say(decoder.frame(number, (number + 1) * 0.2, captured_s=captured_s))
        self.take_messages(name, "opened")
        self.wait(lambda: self.num_waiting(name) == count)
        return decoder

    def take_messages(self, name: str, until: str) -> list[Any]:
        """Take messages until that one of source `name`."""
        taken = []
        deadline_s = time.monotonic() + 5
        while not any(message.source_id == name and message.kind == until for message in taken):
            assert time.monotonic() < deadline_s, taken
            message = self.supervisor.next_message()
            if message is None:
                time.sleep(0.001)
            else:
                taken.append(message)
        return taken

    def num_waiting(self, name: str) -> int:
        return sum(waiting.num_frames for waiting in self.supervisor.waiting() if waiting.source_id == name)

    def wait(self, condition: Callable[[], Any], limit_s: float = 5.0) -> None:
        """Return when the condition holds."""
        deadline_s = time.monotonic() + limit_s
        while not condition():
            self.supervisor.raise_error()
            assert time.monotonic() < deadline_s
            time.sleep(0.001)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    with stage.supervisor:
        yield stage
    for decoders in stage.decoders.values():
        for decoder in decoders:
            decoder.kill()
