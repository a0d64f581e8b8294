"""Who does what with which object in pictures: python examples/pictures.py street.jpg kitchen.jpg

Without a picture, a frame of the demonstration clip. HOISTREAM_MODEL=hoiclip-hico for real footage.
"""

import os
import sys
import tempfile
from pathlib import Path

import hoistream


def demo_picture() -> str:
    """Return a frame of the demonstration clip as a file."""
    import av

    path = Path(tempfile.mkdtemp()) / "demo.jpg"
    with av.open(str(hoistream.demo_clip())) as clip:
        next(frame for frame in clip.decode(video=0) if frame.time >= 3.0).to_image().save(path)
    return str(path)


model = hoistream.load_model(os.environ.get("HOISTREAM_MODEL", "demo"))
for picture in sys.argv[1:] or [demo_picture()]:
    try:
        found = model.predict(picture)
    except hoistream.HoistreamError as error:  # not a picture: the others are done all the same
        print(error, file=sys.stderr)
        continue
    for one in found:
        left, top, right, bottom = (round(x) for x in one.human_box)
        print(f"{Path(picture).name}: {one.score:.2f} {one.interaction}, the human at {left},{top} to {right},{bottom}")
