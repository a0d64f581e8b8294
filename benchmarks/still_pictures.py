"""What it saves and costs not to look at still pictures again. Run: python -m benchmarks.still_pictures [--videos 40].

Drawn footage goes through the demonstration model twice, looking at every frame and with the gate of cameras: how many
looks are saved, and event F1 of both with the interval of their difference (videos drawn again, 95 %). First videos in
which something happens all the time; then an hour of forty drawn streets in which something happens 5 % of the time,
while light drifts and the sensor is noisy; and any files given with --files, without truth.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hoistream
from benchmarks.machine import print_machine
from hoiclip.evaluation.event_files import read_folders
from hoiclip.evaluation.event_measures import video_counts
from hoiclip.evaluation.events import compare
from hoiclip.evaluation.intervals import bootstrap, f1_of
from hoiclip.synthetic.brush import Brush
from hoiclip.synthetic.clip import Casting, Clip, Lens
from hoiclip.synthetic.dataset import write_videos
from hoiclip.synthetic.storyline import SPEEDS, Crossing, Doing, Shown, Storyline
from hoiclip.synthetic.video import render
from hoiclip.synthetic.visit import PropVisit
from hoiclip.synthetic.world import SEEN
from stream.run.config import STILL_S

FPS = 5.0
WIDTH = 448.0  # of the world, in its units
_ACTIVITY_S = 9.0  # of one crossing or visit, about


@dataclass
class Street(Clip):
    """A clip whose light rises and falls by 15 % in ten minutes, as clouds and the sun do."""

    def draw(self, t_s: float, height: int, width: int) -> tuple[NDArray[np.uint8], Brush, list[Shown], list[Doing]]:
        """Return the frame as `Clip.draw` does, in the light of the moment."""
        image, brush, shown, doing = super().draw(t_s, height, width)
        light = 1 + 0.15 * math.sin(2 * math.pi * (t_s / 600 + self.seed * 0.618))
        return np.clip(image * np.float32(light), 0, 255).astype(np.uint8), brush, shown, doing


def quiet_street(seed: int, seconds: float, share: float) -> Street:
    """Return a street on which something happens for about `share` of the time."""
    rng = np.random.default_rng(seed)
    casting, names = Casting(rng), [name for name in SEEN if name in SPEEDS]
    storylines: list[Storyline] = []
    count = int(share * seconds / _ACTIVITY_S + rng.random())
    begins = (np.arange(count) + rng.uniform(0.1, 0.8, count)) * seconds / count
    for index, begin in enumerate(begins.tolist()):
        facing = 1 if rng.random() < 0.5 else -1
        if index % 5 == 4:
            x = float(rng.uniform(120, 330))
            cast = casting.cast(150, 236, facing)
            storylines.append(
                PropVisit(cast, "sit_on bench", x, from_x=-50, arrives_s=begin, durations_s=[5.0], leaves=True)
            )
            continue
        name = names[int(rng.integers(len(names)))]
        cast = casting.cast(float(rng.uniform(118, 150)), float(rng.uniform(200, 222)), facing)
        storylines.append(Crossing(cast, name, world_width=WIDTH, enters_s=begin, speed=SPEEDS[name]))
    return Street(seed, 1.75, 122.0, storylines, Lens(noise=0.1), place=1)


def watched(folder: Path, out: Path, max_still_s: float) -> dict[str, Any]:
    """Run the videos of a folder through the model; return looks, still frames and seconds."""
    started = time.perf_counter()
    hoistream.process(folder, out=out, model="demo", target_fps=FPS, max_still_s=max_still_s, precision="mixed")
    receipts = [json.loads(path.read_text()) for path in sorted(out.glob("*.receipt.json"))]
    still, frames = sum(each["coverage"]["still"] for each in receipts), sum(each["frames"] for each in receipts)
    return {"frames": frames, "still": still, "saved": still / frames, "seconds": time.perf_counter() - started}


def compared(folder: Path, out: Path) -> dict[str, Any]:
    """Look at a folder of annotated videos both ways; return what was saved, and what it costs."""
    runs = {name: watched(folder, out / name, still_s) for name, still_s in (("exact", 0.0), ("gate", STILL_S))}
    counts = {name: video_counts(compare(*read_folders(out / name, folder))) for name in runs}
    f1 = {name: float(f1_of(each.sum(0, dtype=np.float64)[None])[0]) for name, each in counts.items()}
    both = np.concatenate([counts["gate"], counts["exact"]], axis=1)
    difference = bootstrap(both, lambda sums: f1_of(sums[:, :3]) - f1_of(sums[:, 3:]))
    return {
        "videos": len(counts["exact"]),
        "true_events": int(counts["exact"][:, [0, 2]].sum()),
        "matched_false_missed": {name: each.sum(0).tolist() for name, each in counts.items()},
        "saved": runs["gate"]["saved"],
        "f1": f1,
        "f1_difference": f1["gate"] - f1["exact"],
        "f1_difference_interval": difference,
        "seconds": {name: round(run["seconds"], 1) for name, run in runs.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--seed", type=int, default=7000)
    parser.add_argument("--streets", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=90.0, help="of each street")
    parser.add_argument("--share", type=float, default=0.05, help="of the time in which something happens there")
    parser.add_argument("--files", nargs="*", type=Path, default=[], help="other footage; only the saving is told")
    parser.add_argument("--keep", type=Path, help="keep what was drawn and found in this folder")
    options = parser.parse_args()
    print_machine(f"python -m benchmarks.still_pictures --videos {options.videos} --seed {options.seed}")
    with tempfile.TemporaryDirectory() as temporary:
        base = options.keep or Path(temporary)
        if options.videos:
            folder = base / f"videos-{options.seed}"
            if not folder.exists():
                write_videos(folder, options.seed, options.videos)
            print("videos:", json.dumps(compared(folder, base / f"found-{options.seed}")), flush=True)
        if options.streets:
            folder = base / f"streets-{options.seed}"
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(options.streets):
                path = folder / f"street_{number:04d}.mp4"
                if not path.exists():
                    clip = quiet_street(options.seed * 1000 + number, options.seconds, options.share)
                    render(clip, path, options.seconds, fps=int(FPS), height=256, width=448)
            print("streets:", json.dumps(compared(folder, base / f"found-streets-{options.seed}")), flush=True)
        for path in options.files:
            print(f"{path.name}:", json.dumps(watched(path, base / f"found-{path.stem}", STILL_S)), flush=True)


if __name__ == "__main__":
    main()
