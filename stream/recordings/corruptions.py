"""What weather, light, optics and networks do to a camera's picture: twelve corruptions, three strengths, seeded.

They act on frames as the model gets them; lengths are in parts of the frame's height. NumPy, SciPy and Pillow only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from hoiclip.errors import InputError

STRENGTHS = (1, 2, 3)  # noticeable, bad, at the limit of what people can use

Picture = NDArray[np.uint8]  # RGB [H, W, 3]
Floats = NDArray[np.float32]
Corrupt = Callable[[Picture, float], "Picture | None"]
Random = np.random.Generator
Camera = tuple[int, int]  # seed of what stays the same from frame to frame


def corruption(name: str, strength: int, seed: int = 0) -> Corrupt:
    """Return a function of a frame (RGB uint8 [H, W, 3]) and its media time that returns what the camera gives instead.

    None is a frame that is lost. What is fixed to a camera (dirt, glare, the direction of a shake) stays where it is;
    what is not (noise, rain) is new in each frame. Equal arguments, frames and times give equal pictures.

    Args:
        name: one of `CORRUPTIONS`.
        strength: 1, 2 or 3.
        seed: of everything that is random.

    Raises:
        InputError: another name or strength.
    """
    if name not in CORRUPTIONS:
        raise InputError(f"corruption {name!r}: expected one of {', '.join(CORRUPTIONS)}")
    if strength not in STRENGTHS:
        raise InputError(f"strength {strength}: expected 1, 2 or 3")
    camera = seed, list(CORRUPTIONS).index(name)

    def corrupt(picture: Picture, t_s: float) -> Picture | None:
        moment = np.random.default_rng((*camera, max(0, round(t_s * 1000))))
        return CORRUPTIONS[name](picture, strength, camera, moment)

    return corrupt


def _noise(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """Noise of photons and of the sensor: stronger in the bright, never absent in the dark."""
    level = (10.0, 22.0, 42.0)[strength - 1]
    values = picture.astype(np.float32)
    spread = level * np.sqrt(0.35 + 0.65 * values / 255.0)
    return _whole(values + moment.standard_normal(values.shape, np.float32) * spread)


def _blur(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """Out of focus."""
    return _blurred(picture, (0.005, 0.010, 0.018)[strength - 1])


def _motion_blur(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """The camera shakes along one direction while the shutter is open."""
    length = (0.03, 0.06, 0.11)[strength - 1] * picture.shape[0]
    angle = np.random.default_rng(camera).uniform(0, np.pi)
    steps = (np.linspace(-0.5, 0.5, max(3, round(length))) * length).tolist()
    margin = int(np.ceil(length / 2)) + 1
    wide = np.pad(picture.astype(np.float32), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    height, width = picture.shape[:2]
    total = np.zeros(picture.shape, np.float32)
    for step in steps:
        y, x = margin + round(step * np.sin(angle)), margin + round(step * np.cos(angle))
        total += wide[y : y + height, x : x + width]
    return _whole(total / len(steps))


def _darkness(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """Too little light: dark, little colour, the sensor's noise."""
    gain, level = ((0.42, 4.0), (0.2, 6.0), (0.1, 8.0))[strength - 1]
    values = picture.astype(np.float32)
    grey = values.mean(2, keepdims=True)
    values = (grey + (values - grey) * 0.6) * gain
    return _whole(values + moment.standard_normal(values.shape, np.float32) * level)


def _glare(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """A lamp or the sun in the lens: a bright spot, and a veil over everything."""
    reach, veil = ((0.22, 0.10), (0.36, 0.22), (0.55, 0.36))[strength - 1]
    height, width = picture.shape[:2]
    fixed = np.random.default_rng(camera)
    y, x = fixed.uniform(0.1, 0.5) * height, fixed.uniform(0.2, 0.8) * width
    rows, columns = np.ogrid[:height, :width]
    distance2 = (rows - y) ** 2 + (columns - x) ** 2
    light = np.exp(-distance2 / (2 * (reach * height) ** 2)).astype(np.float32)[..., None]
    share = np.clip(veil + (1 - veil) * light, 0, 1)
    return _whole(picture * (1 - share) + np.array([255.0, 250.0, 235.0], np.float32) * share)


def _rain(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """Streaks that fall along one direction, and the haze behind them."""
    count, haze = ((90, 0.06), (220, 0.14), (450, 0.24))[strength - 1]
    height, width = picture.shape[:2]
    lean = np.random.default_rng(camera).uniform(-0.25, 0.25)
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    for x, y, length in zip(
        moment.uniform(-0.1, 1.1, count) * width,
        moment.uniform(-0.1, 1.0, count) * height,
        moment.uniform(0.03, 0.11, count) * height,
        strict=True,
    ):
        brightness = int(moment.integers(90, 200))
        pen.line((x, y, x + lean * length, y + length), fill=brightness, width=max(1, round(height / 200)))
    streaks = gaussian_filter(np.asarray(mask, np.float32), (0.8, 0.4))[..., None] / 255.0
    values = picture * (1 - haze) + 170.0 * haze
    return _whole(values * (1 - 0.8 * streaks) + 225.0 * 0.8 * streaks)


def _fog(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """Fog: the farther up in the picture, the thicker."""
    share = _fog_density(camera, strength, picture.shape[0], picture.shape[1])
    return _whole(picture * (1 - share) + np.array([198.0, 202.0, 206.0], np.float32) * share)


@lru_cache(maxsize=4)
def _fog_density(camera: Camera, strength: int, height: int, width: int) -> Floats:
    near, far = ((0.18, 0.42), (0.36, 0.66), (0.55, 0.84))[strength - 1]
    clouds = np.random.default_rng(camera).standard_normal((height, width)).astype(np.float32)
    clouds = gaussian_filter(clouds, 0.12 * height)
    clouds /= max(float(np.abs(clouds).max()), 1e-6)
    share = np.linspace(far, near, height, dtype=np.float32)[:, None] + 0.08 * clouds
    density: Floats = np.clip(share, 0, 0.95)[..., None]
    return density


def _compression(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """A starved bit rate: blocks and smears (JPEG at the frame's size)."""
    packed = io.BytesIO()
    Image.fromarray(picture).save(packed, "JPEG", quality=(22, 10, 4)[strength - 1])
    return np.array(Image.open(packed).convert("RGB"), np.uint8)


def _low_resolution(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """A camera of fewer pixels: a half, a third, a fifth of the height."""
    height, width = picture.shape[:2]
    part = (2.0, 3.0, 5.0)[strength - 1]
    small = Image.fromarray(picture).resize((round(width / part), round(height / part)), Image.Resampling.BOX)
    return np.array(small.resize((width, height), Image.Resampling.BILINEAR), np.uint8)


def _colour_cast(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """A wrong white balance: sodium lamps or a blue dusk."""
    amount = (0.35, 0.7, 1.0)[strength - 1]
    gains = ((1.35, 0.95, 0.35), (0.5, 0.85, 1.4))[int(np.random.default_rng(camera).integers(2))]
    return _whole(picture * (1 + amount * (np.array(gains, np.float32) - 1)))


def _dropped_frames(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture | None:
    """A network that loses frames: a third, a half, three quarters of them."""
    return None if moment.random() < (0.33, 0.5, 0.75)[strength - 1] else picture


def _lens_dirt(picture: Picture, strength: int, camera: Camera, moment: Random) -> Picture:
    """Drops, dust and smears on the glass: blurred spots that stay where they are."""
    share = _dirt(camera, strength, picture.shape[0], picture.shape[1])
    smeared = _blurred(picture, 0.03).astype(np.float32) * 0.75 + 18.0
    return _whole(picture * (1 - share) + smeared * share)


@lru_cache(maxsize=4)
def _dirt(camera: Camera, strength: int, height: int, width: int) -> Floats:
    count, size = ((8, 0.07), (16, 0.11), (28, 0.16))[strength - 1]
    fixed = np.random.default_rng(camera)
    cover = np.zeros((height, width), np.float32)
    rows, columns = np.ogrid[:height, :width]
    for _ in range(count):
        y, x = fixed.uniform(0, height), fixed.uniform(0, width)
        radius = fixed.uniform(0.4, 1.2) * size * height
        stretch = fixed.uniform(0.6, 1.6)
        distance = np.sqrt(((rows - y) * stretch) ** 2 + (columns - x) ** 2)
        cover = np.maximum(cover, np.clip(1.2 - distance / radius, 0, 1) * fixed.uniform(0.5, 1.0))
    share: Floats = gaussian_filter(cover, 0.008 * height)[..., None]
    return share


def _blurred(picture: Picture, sigma: float) -> Picture:
    return np.asarray(gaussian_filter(picture, (sigma * picture.shape[0],) * 2 + (0,), mode="nearest"), np.uint8)


def _whole(values: NDArray[Any]) -> Picture:
    whole: Picture = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return whole


CORRUPTIONS: Mapping[str, Callable[[Picture, int, Camera, Random], Picture | None]] = {
    "noise": _noise,
    "blur": _blur,
    "motion_blur": _motion_blur,
    "darkness": _darkness,
    "glare": _glare,
    "rain": _rain,
    "fog": _fog,
    "compression": _compression,
    "low_resolution": _low_resolution,
    "colour_cast": _colour_cast,
    "dropped_frames": _dropped_frames,
    "lens_dirt": _lens_dirt,
}


def shrink(scale: float) -> Corrupt:
    """Return a function that shows a frame at `scale` of its size in the middle, its own blur around it."""
    return partial(_shrunk, scale=scale)


def _shrunk(picture: Picture, t_s: float, *, scale: float) -> Picture:
    height, width = picture.shape[:2]
    if scale >= 1:
        return picture
    small = np.array(
        Image.fromarray(picture).resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    )
    shown = _blurred(picture, 0.12)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    shown[top : top + small.shape[0], left : left + small.shape[1]] = small
    return shown
