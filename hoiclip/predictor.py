"""Pictures in, ranked interactions out: the model's own preprocessing, heads, ranking and pair NMS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hoiclip.classifier import TextClassifier
from hoiclip.errors import HoistreamError, InputError
from hoiclip.postprocess import Detections, rank, score
from hoiclip.preprocess import resized_size
from hoiclip.types import Outputs
from hoiclip.weights import LoadedModel


class PictureError(HoistreamError):
    """A file that cannot be read as a picture."""


class Predictor:
    """Find interactions in single pictures of any size, as the published evaluation does.

    Source: HOICLIP (Ning et al., CVPR 2023); preprocessing of DETR (Carion et al., ECCV 2020).
    """

    def __init__(self, loaded: LoadedModel, classifier: TextClassifier, *, enhancement: bool = False) -> None:
        """Prepare for pictures.

        Args:
            loaded: the model.
            classifier: the interactions to look for.
            enhancement: add CLIP's opinion of the whole picture, without training.
        """
        self._loaded, self.classifier, self._enhancement = loaded, classifier, enhancement

    def predict(self, picture: NDArray[np.uint8], *, top: int = 100, nms: bool = True) -> Detections:
        """Return the best `top` interactions of an RGB picture uint8 [H, W, 3], boxes in its pixels.

        Raises InputError for another shape or type.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise InputError(f"a picture must be RGB uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")
        height, width = picture.shape[:2]
        config = self._loaded.model.config
        new_height, new_width = resized_size(height, width, config.shorter_side, config.longer_side)
        resized = Image.fromarray(picture).resize((new_width, new_height), Image.Resampling.BILINEAR)
        frames = torch.from_numpy(np.array(resized)[None])
        with torch.inference_mode():
            outputs = Outputs(*(field.numpy() for field in self._loaded.model(frames)))
        scores = score(outputs, self.classifier, enhancement=self._enhancement)
        return rank(scores, 0, (height, width), self.classifier, top=top, nms=nms)

    def probabilities(self, detections: Detections) -> NDArray[np.float32]:
        """Return [N] in [0, 1] to show to people: the interaction's score times its object's."""
        shown = np.clip(detections.interaction_scores, 0.0, 1.0) * detections.object_scores
        return shown.astype(np.float32)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return the picture in `path` as RGB uint8 [H, W, 3], turned as its EXIF orientation says.

    Raises PictureError naming the file and the reason.
    """
    try:
        with Image.open(path) as stored:
            picture = ImageOps.exif_transpose(stored)
            if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits a pixel: `convert` would clip at 255
                values = np.asarray(picture, np.float64) / 257.0
                picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
            return np.array(picture.convert("RGB"))
    except Image.DecompressionBombError:
        raise PictureError(f"{path}: more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller") from None
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise PictureError(f"{path}: not a picture (or a format that Pillow cannot read)") from None
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise PictureError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
