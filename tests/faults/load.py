"""The run that faults happen to: a real publisher in a process of its own, with interactions that begin and end.

Run: python -m tests.faults.load SPOOL_DIR SEED SINK…  until SIGTERM; prints the publisher's state ten times a second.
"""

from __future__ import annotations

import faulthandler
import json
import random
import signal
import sys
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stream.events.schema import EventNumbers, InteractionEvent
from stream.publish.publisher import Publisher
from stream.publish.spool import SpoolLimits

LIMITS = SpoolLimits(segment_bytes=60_000, segment_age_s=2.0, replay_window_s=600.0)
VALUES: dict[str, Any] = {
    "pair_id": 1,
    "human_id": 3,
    "object_id": 2,
    "verb": "ride",
    "object": "bicycle",
    "interaction": "ride bicycle",
    "prompt": "a photo of a person riding a bicycle.",
    "score": 0.7,
    "peak_score": 0.8,
    "human_box_xyxy_px": (1.0, 2.0, 3.0, 4.0),
    "object_box_xyxy_px": (1.0, 2.0, 3.0, 4.0),
    "frame_width_px": 640,
    "frame_height_px": 360,
    "why": "for the test",
    "model_fingerprint": "m",
    "vocabulary_fingerprint": "v",
}


class Camera:
    """Interactions of one source, as a tracker would tell them."""

    def __init__(self, source_id: str, chance: random.Random) -> None:
        self.numbers = EventNumbers(uuid.UUID(int=chance.getrandbits(128)).hex[:20], source_id)
        self._chance = chance
        self._open: dict[str, float] = {}
        self._count = 0

    def step(self, now_s: float) -> InteractionEvent:
        """Return the next event."""
        if not self._open or (len(self._open) < 5 and self._chance.random() < 0.3):
            self._count += 1
            name = self.numbers.interaction_id(self._count, "ride bicycle", now_s)
            self._open[name] = now_s
            return self._event("started", name, now_s, "score")
        name = self._chance.choice(list(self._open))
        if self._chance.random() < 0.5:
            return self._event("updated", name, now_s, "interval")
        return self._end(name, now_s, "score")

    def finish(self, now_s: float) -> list[InteractionEvent]:
        """Return the ends of what is open."""
        return [self._end(name, now_s, "stopped") for name in list(self._open)]

    def _end(self, name: str, now_s: float, reason: str) -> InteractionEvent:
        event = self._event("ended", name, now_s, reason)
        del self._open[name]
        return event

    def _event(self, kind: Any, name: str, now_s: float, reason: str) -> InteractionEvent:
        began = self._open[name]
        times = {"media_time_s": now_s, "started_media_s": began, "duration_s": now_s - began}
        return InteractionEvent(**self.numbers.next(), type=kind, interaction_id=name, reason=reason, **times, **VALUES)


def tell(publisher: Publisher) -> None:
    """Print the publisher's state ten times a second, also while it makes its callers wait."""
    while True:
        print(json.dumps(asdict(publisher.state)), flush=True)
        time.sleep(0.1)


def main() -> None:
    """Publish until SIGTERM."""
    spool_dir, seed, sinks = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    faulthandler.register(signal.SIGUSR1)  # shows where it hangs, should it
    stop = threading.Event()
    # not in the handler itself: the main thread may be within the event's lock
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop.set).start())
    chance = random.Random(seed)
    cameras = [Camera(f"cam{number}", chance) for number in range(4)]
    began = time.monotonic()
    with Publisher(sinks, spool_dir, limits=LIMITS) as publisher:
        threading.Thread(target=tell, args=(publisher,), daemon=True).start()
        publisher.begin({camera.numbers.source_id: camera.numbers.run_id for camera in cameras}, stop=stop)
        while not stop.is_set():
            now_s = time.monotonic() - began
            for camera in cameras:
                publisher.publish(camera.step(now_s))
            stop.wait(0.012)
        for camera in cameras:
            for event in camera.finish(time.monotonic() - began):
                publisher.publish(event)


if __name__ == "__main__":
    main()
