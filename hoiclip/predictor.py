"""Pictures in, ranked interactions out: the model's own preprocessing, heads, ranking and pair NMS."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hoiclip.classifier import TextClassifier
from hoiclip.errors import HoistreamError, InputError
from hoiclip.postprocess import Detections, rank, score
from hoiclip.types import Canvas, Outputs

_SHORTEST_PX = 32  # one cell of the feature grid; longer strips than this allows are squeezed


class PictureError(HoistreamError):
    """A file that cannot be read as a picture."""


Infer = Callable[[Canvas, NDArray[np.uint8]], Outputs[NDArray[np.float32]]]
"""Run frames uint8 [B, H, W, 3] of one canvas through an engine."""
Look = Callable[[NDArray[np.uint8]], Outputs[NDArray[np.float32]]]
"""From an RGB picture uint8 [H, W, 3] of any size to the outputs of a batch of one."""


class Predictor:
    """Find interactions in single pictures of any size."""

    def __init__(self, look: Look, classifier: TextClassifier, *, enhancement: bool = False) -> None:
        """Prepare for pictures.

        Args:
            look: how a picture reaches the model, from `LoadedModel.look`.
            classifier: the interactions to look for.
            enhancement: add CLIP's opinion of the whole picture, without training.
        """
        self._look, self.classifier, self._enhancement = look, classifier, enhancement

    def predict(self, picture: NDArray[np.uint8], *, top: int = 100, nms: bool = True) -> Detections:
        """Return the best `top` interactions of an RGB picture uint8 [H, W, 3], boxes in its pixels.

        Raises InputError for another shape or type.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise InputError(f"a picture must be RGB uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")
        scores = score(self._look(picture), self.classifier, enhancement=self._enhancement)
        height, width = picture.shape[:2]
        return rank(scores, 0, (height, width), self.classifier, top=top, nms=nms)

    def probabilities(self, detections: Detections) -> NDArray[np.float32]:
        """Return [N] in [0, 1] to show to people: the interaction's score times its object's."""
        shown = np.clip(detections.interaction_scores, 0.0, 1.0) * detections.object_scores
        return shown.astype(np.float32)


def canvas_look(canvases: Sequence[Canvas], infer: Infer) -> Look:
    """Return a look that scales each picture to the canvas of nearest aspect ratio and calls `infer` with it."""

    def look(picture: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        canvas = nearest_canvas(canvases, picture.shape[0], picture.shape[1])
        return infer(canvas, resized(picture, canvas)[None])

    return look


def nearest_canvas(canvases: Sequence[Canvas], height: int, width: int) -> Canvas:
    """Return the canvas that distorts a picture of that size least; of equals the one with most pixels."""

    def distortion(canvas: Canvas) -> tuple[float, int]:
        return abs(math.log(canvas.width * height / (canvas.height * width))), -canvas.height * canvas.width

    return min(canvases, key=distortion)


def resized_size(height: int, width: int, shorter: int, longer: int) -> tuple[int, int]:
    """Return (height, width) with the shorter side at `shorter`, or less so that the longer is at most `longer`.

    Truncates as the published preprocessing does: 480 x 640 becomes 800 x 1066. The shorter side is at least 32 px.
    """
    small, large = min(height, width), max(height, width)
    size = shorter if large / small * shorter <= longer else max(round(longer * small / large), _SHORTEST_PX)
    other = max(min(int(size * large / small), longer), size)
    return (size, other) if height <= width else (other, size)


def resized(picture: NDArray[np.uint8], canvas: Canvas) -> NDArray[np.uint8]:
    """Return an RGB picture uint8 [H, W, 3] scaled to a canvas by Pillow's antialiased bilinear filter."""
    return np.array(Image.fromarray(picture).resize((canvas.width, canvas.height), Image.Resampling.BILINEAR))


def rgb_array(picture: Image.Image) -> NDArray[np.uint8]:
    """Return a Pillow picture of any mode as RGB uint8 [H, W, 3], turned as its EXIF orientation says."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I") or upright.mode == "F":  # 16 bits a pixel: `convert` would clip at 255
        values = np.asarray(upright, np.float64) / 257.0
        upright = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    return np.array(upright.convert("RGB"))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return the picture in `path` as RGB uint8 [H, W, 3], turned as its EXIF orientation says.

    Raises PictureError naming the file and the reason.
    """
    try:
        with Image.open(path) as stored:
            return rgb_array(stored)
    except Image.DecompressionBombError:
        raise PictureError(f"{path}: more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller") from None
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise PictureError(f"{path}: not a picture that Pillow can read; for videos: hoistream batch") from None
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise PictureError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
