"""One photo: an animal in some pose put into the sea, then what light, lens and file make of it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ensemble.demo.painter.fields import as_image, blurred, enlarged, grid, mixed, noise
from ensemble.demo.painter.outlines import WATERLINE
from ensemble.demo.painter.scene import RATIO, Weather, paint_sea

# pixels of a skin for each pixel of a photo
SKIN_SCALE = 1.25


@dataclass(frozen=True)
class Pose:
    """How an animal lies in a photo.

    Attributes
    ----------
    scale : float
        Width of the animal's frame in photo widths.
    turn, pitch : float
        Radians: turned away from the side view, and rolled in the picture.
    shear : float
        Leaning towards or away from the camera.
    tilt : float
        Perspective: how much smaller one end is.
    x, y : float
        Middle of the animal and its water line, in photo widths.
    sunk : float
        How deep the animal lies, in frame widths.
    roll : float
        Slope of the horizon.
    mirrored : bool
        The right side: head to the right.
    """

    scale: float
    turn: float
    pitch: float
    shear: float
    tilt: float
    x: float
    y: float
    sunk: float
    roll: float
    mirrored: bool


def draw_pose(zoom: float, mirrored: bool, rng: np.random.Generator, distance: float = 1.0) -> Pose:
    """Draw the pose of one photo; its scale is `zoom` on average, less from a distance, and then less in the middle."""
    nearness = float(np.exp(np.clip(rng.normal(0, 0.09), -0.2, 0.2)))
    return Pose(
        scale=zoom * nearness / distance,
        turn=float(np.clip(rng.normal(0, 0.28), -0.75, 0.75)),
        pitch=float(np.clip(rng.normal(0, 0.075), -0.2, 0.2)),
        shear=float(np.clip(rng.normal(0, 0.1), -0.25, 0.25)),
        tilt=float(np.clip(rng.normal(0, 0.1), -0.25, 0.25)),
        x=float(0.5 + np.clip(rng.normal(0, 0.05 * distance), -0.15 * min(distance, 2), 0.15 * min(distance, 2))),
        # a nearer animal is framed lower, so that its fin stays in the photo
        y=float(np.clip(rng.normal(0.58, 0.025) + 0.35 * (nearness - 1), 0.46, 0.68)),
        sunk=float(np.clip(rng.normal(0.012, 0.02), 0, 0.06)),
        roll=float(np.clip(rng.normal(0, 0.025), -0.06, 0.06)),
        mirrored=mirrored,
    )


@dataclass(frozen=True)
class Taken:
    """A photo that was taken.

    Attributes
    ----------
    file : bytes
        A JPEG file.
    box : tuple of int
        x1, y1, x2, y2 around what is seen of the animal above the water, in pixels; the last two lie just beyond it.
    """

    file: bytes
    box: tuple[int, int, int, int]


def take_photo(skin: Image.Image, pose: Pose, weather: Weather, width: int, rng: np.random.Generator) -> Taken:
    """Paint one photo and compress it.

    Parameters
    ----------
    skin : PIL.Image.Image
        RGBA, head to the left.
    pose : Pose
    weather : Weather
    width : int
        Of the photo in pixels.
    rng : numpy.random.Generator
        Draws the moment: waves, splashes, focus, exposure, quality of the file.

    Returns
    -------
    Taken
    """
    height = round(width * RATIO)
    posed = skin.transform(
        (width, height), Image.Transform.PERSPECTIVE, _backwards(pose, skin.width, width), Image.Resampling.BILINEAR
    )
    planes = np.stack([np.asarray(plane, dtype=np.float32) for plane in posed.split()])
    colour, alpha = planes[:3], planes[3] / 255
    x, y = grid(width, height)
    waves = noise(rng, width, 4, 9)[0] * 0.006 * weather.swell
    # how far each pixel lies below the surface where it meets the animal
    depth = y - pose.y - pose.roll * (x - 0.5) - waves
    photo = paint_sea(weather, width, pose.y, pose.roll, rng)
    photo = _mirror_in_water(photo, alpha, depth, weather, rng)
    animal = _lit(colour, alpha, weather, rng)
    above = alpha * np.clip(0.5 - depth * width / 1.5, 0, 1)
    # just below the surface the animal still shines through
    through = 0.45 * alpha * np.exp(-np.maximum(depth, 0) / 0.02) * (depth > 0)
    photo = mixed(photo, np.maximum(above, through), animal)
    photo = _foam(photo, alpha, depth, weather, rng)
    return Taken(_developed(photo, weather, rng), _around(above > 0.5))


def _around(seen: np.ndarray) -> tuple[int, int, int, int]:
    """The box around what is seen."""
    down, across = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def _backwards(pose: Pose, skin_width: int, width: int) -> tuple[float, ...]:
    """Coefficients that lead from a photo's pixels to a skin's, as PIL wants them."""
    middle = np.array([[1, 0, -0.5], [0, 1, -WATERLINE + pose.sunk], [0, 0, 1]])
    flip = np.diag([-1.0 if pose.mirrored else 1.0, 1.0, 1.0])
    lean = np.array([[np.cos(pose.turn), pose.shear, 0], [0, 1, 0], [pose.tilt, 0, 1]])
    c, s = np.cos(pose.pitch) * pose.scale, np.sin(pose.pitch) * pose.scale
    place = np.array([[c, -s, pose.x], [s, c, pose.y], [0, 0, 1]])
    forwards = np.diag([width, width, 1]) @ place @ lean @ flip @ middle @ np.diag([1 / skin_width, 1 / skin_width, 1])
    back = np.linalg.inv(forwards)
    return tuple(float(value) for value in (back / back[2, 2]).ravel()[:8])


def _lit(colour: np.ndarray, alpha: np.ndarray, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    """Round the animal by light from the sky and the sun, and let wet skin shine."""
    full_height, full_width = alpha.shape
    # light changes slowly over the skin: a quarter of the pixels is enough
    coarse = alpha[::2, ::2]
    height, width = coarse.shape
    down, across = np.gradient(blurred(coarse, width * 0.022))
    facing_up, facing_right = down * width * 0.05, -across * width * 0.05
    light = 0.8 + 0.35 * facing_up
    light += weather.sunlight * 0.55 * weather.sun * facing_right
    light *= 1 + 0.06 * noise(rng, width, height, 10)
    wet = np.clip(facing_up - 0.3 + 0.22 * noise(rng, width, height, 22), 0, 1) * (0.35 + 0.45 * weather.sunlight)
    light, wet = enlarged(light, full_width, full_height), enlarged(wet, full_width, full_height)
    return mixed(colour * light, wet, weather.sky)


def _mirror_in_water(
    photo: np.ndarray, alpha: np.ndarray, depth: np.ndarray, weather: Weather, rng: np.random.Generator
) -> np.ndarray:
    """Darken the water where the animal is mirrored, the more broken the rougher the sea."""
    height, width = alpha.shape
    rows = np.arange(height)[:, None]
    source = rows - 2 * depth * width + 2.5 * weather.swell * noise(rng, width, height, 30, 1)
    valid = (depth > 0) & (source >= 0)
    mirrored = alpha[np.clip(source, 0, height - 1).astype(np.int32), np.arange(width)[None]]
    strength = 0.5 * mirrored * valid * np.exp(-np.maximum(depth, 0) / 0.16)
    return np.asarray(photo * (1 - blurred(strength, 1.5)))


def _foam(
    photo: np.ndarray, alpha: np.ndarray, depth: np.ndarray, weather: Weather, rng: np.random.Generator
) -> np.ndarray:
    """White water where the animal breaks the surface, and now and then a splash in front of it."""
    height, width = alpha.shape
    x = grid(width, height)[0][0]
    at_line = np.where(np.abs(depth) < 1.5 / width, alpha, 0).max(axis=0)
    thick = 0.006 * weather.swell * np.clip(1 + 0.9 * noise(rng, width, 4, 14)[0], 0.1, 3)
    speckle = noise(rng, width, height, 55, 2)
    foam = at_line * np.clip(1.1 - np.abs(depth + 0.002) / thick + 0.35 * speckle, 0, 0.85)
    wake = at_line * np.clip(speckle - 1.1, 0, 0.6) * np.exp(-np.maximum(depth, 0) / 0.04) * (depth > 0)
    foam = np.maximum(foam, wake)
    if rng.random() < 0.22 * weather.swell:
        reach = rng.uniform(0.04, 0.13) * np.exp(-(((x - rng.uniform(0.1, 0.9)) / rng.uniform(0.05, 0.16)) ** 2))
        ragged = reach * (1 + 0.45 * noise(rng, width, 4, 26)[0])
        splash = np.clip((depth + ragged) * 25 + 0.8 * speckle - 0.2, 0, 0.92) * np.clip(1.2 - depth / 0.03, 0, 1)
        foam = np.maximum(foam, splash * (ragged > 0.01))
    white = np.minimum(weather.sky + 25, 250) * (1 - 0.06 * np.clip(speckle, -1, 2))
    return mixed(photo, foam, white)


def _developed(photo: np.ndarray, weather: Weather, rng: np.random.Generator) -> bytes:
    """Exposure, haze, focus, grain and the file."""
    height, width = photo.shape[1:]
    photo = photo * (weather.cast * np.float32(np.exp(rng.normal(0, 0.13))))
    contrast = (1 - weather.haze) * float(np.exp(rng.normal(0, 0.09)))
    photo = 118 + contrast * (photo - 118) + 30 * weather.haze
    grain = rng.standard_normal((height, width), dtype=np.float32)
    photo += grain * rng.uniform(1, 5)
    image = as_image(photo)
    blur = width / 320 * max(0.0, rng.gamma(1.1, 0.6) - 0.3)
    if blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(min(blur, 1.5)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(50, 93)))
    return file.getvalue()
