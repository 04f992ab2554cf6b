"""Any photo file as an upright RGB image; whatever is wrong with a file becomes a note, never an exception."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from backbones.photos.members import opened, stamp

# what cameras and catalogues write (MPO opens as JPEG); others, EPS for one, would start programs
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM")
TRUNCATED = "truncated: shown as far as it goes"
DAMAGED = "damaged: shown as far as it can be read"
GREY = (128, 128, 128)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}
_JPEGS = ("JPEG", "MPO")
# orientations that turn the stored right edge, or the stored lower edge, into the left or upper one
_RIGHT_FIRST, _LOWER_FIRST = {2, 3, 7, 8}, {3, 4, 6, 7}
# how many values a camera's chip tells apart, where a file has room for 65,536
_DEPTHS = (2**8, 2**12, 2**16)

# full upright width and height -> how many times smaller the photo may be decoded
Wanted = Callable[[int, int], float]


@dataclass(frozen=True)
class Decoded:
    """A photo, perhaps decoded smaller than it is.

    Attributes
    ----------
    image : PIL.Image.Image or None
        Upright, mode RGB; None if the file is unreadable.
    width, height : int
        Of the upright photo in full.
    scale : int
        How many times smaller `image` is.
    left, upper : float
        Where the photo begins in `image`: sides that the scale does not divide leave part of a pixel over.
    note : str
        Empty when all is fine.
    """

    image: Image.Image | None
    width: int = 0
    height: int = 0
    scale: int = 1
    left: float = 0.0
    upper: float = 0.0
    note: str = ""

    def place(self, box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
        """Where a box of the full photo is in `image`."""
        x1, y1, x2, y2 = (edge / self.scale for edge in box)
        return x1 + self.left, y1 + self.upper, x2 + self.left, y2 + self.upper


def decode(path: Path, wanted: Wanted | None = None, background: tuple[int, int, int] = GREY) -> Decoded:
    """Decode a photo: the first frame, upright by its EXIF orientation, as 8-bit RGB.

    CMYK and YCCK are converted without their profiles, and transparency is laid over the background. Grey photos of
    more than 8 bits are taken to be of 8, 12 or 16 bits, the fewest that hold their brightest pixel; 32-bit numbers
    beyond that are stretched from darkest to brightest. JPEGs are decoded 2, 4 or 8 times smaller where that is enough.

    Parameters
    ----------
    path : Path
    wanted : callable, optional
        Given the upright photo's full width and height, how many times smaller it may be; by default it may not.
    background : tuple of int
        What shows through transparent pixels.

    Returns
    -------
    Decoded
        With `image` None and a note `unreadable: ...` for anything that is no photo; a truncated photo is shown as far
        as it goes, and the note says so.
    """
    # what Pillow warns of ends in a note or is of no matter: 89 megapixels, which a camera may have, or odd EXIF data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _decode_or_note(path, wanted, background)


def _decode_or_note(path: Path, wanted: Wanted | None, background: tuple[int, int, int]) -> Decoded:
    try:
        try:
            return _decode(path, wanted, background)
        except Exception as error:
            broken = error
            with _forgiving():
                again = _decode(path, wanted, background)
        if again.image is None or _is_blank(again.image):
            return Decoded(None, note="unreadable: ends where it begins")
        return replace(again, note=TRUNCATED if "truncated" in str(broken) else DAMAGED)
    # Pillow's readers raise almost anything on broken files, and one photo shall not end a worker
    except Exception as error:
        return Decoded(None, note=f"unreadable: {_reason(path, error)}")


def open_photo(path: Path) -> Image.Image:
    """Open a photo, in one of the formats photos come in, without decoding it: a file, or what lies in a container."""
    return Image.open(opened(path), formats=FORMATS)


def upright_size(path: Path) -> tuple[int, int]:
    """Full width and height of a photo held upright; of a JPEG, only the header is read."""
    with open_photo(path) as image:
        if image.format not in _JPEGS:
            image.load()  # only now these know how they are turned
        width, height = image.size
        return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def _decode(path: Path, wanted: Wanted | None, background: tuple[int, int, int]) -> Decoded:
    with open_photo(path) as image:
        if not isinstance(image, ImageFile.ImageFile) or image.format not in _JPEGS:
            image.load()  # only now these know how they are turned
            upright = _turned(to_rgb(image, background), _orientation(image))
            return Decoded(upright, *upright.size)
        stored, orientation, scale = image.size, _orientation(image), 1
        width, height = stored[::-1] if orientation in _SIDEWAYS else stored
        if wanted is not None:
            most = wanted(width, height)
            scale = next((scale for scale in (8, 4, 2) if scale <= most and scale <= min(stored)), 1)
            if scale > 1:
                image.draft(None, (stored[0] // scale, stored[1] // scale))
        image.load()
        if image.size == stored:
            scale = 1
        over = [side - full / scale for side, full in zip(image.size, stored, strict=True)]
        before = [over[0] * (orientation in _RIGHT_FIRST), over[1] * (orientation in _LOWER_FIRST)]
        left, upper = before[::-1] if orientation in _SIDEWAYS else before
        upright = _turned(to_rgb(image, background), orientation)
        return Decoded(upright, width, height, scale, left, upper)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF data are as good as none
        return 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def to_rgb(image: Image.Image, background: tuple[int, int, int] = GREY) -> Image.Image:
    """Return an image of any mode as 8-bit RGB, transparency laid over the background."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        under = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(under, image).convert("RGB")
    if image.mode == "RGB":
        return image
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    numbers = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        numbers *= 255
    elif low >= 0 and high < _DEPTHS[-1]:
        depth = next(depth for depth in _DEPTHS if high < depth)
        numbers *= 255 / (depth - 1)
    else:
        numbers = (numbers - low) * (255 / max(high - low, 1e-12))
    return np.rint(numbers).clip(0, 255).astype(np.uint8)


@contextlib.contextmanager
def _forgiving() -> Iterator[None]:
    """Let Pillow show what there is of a truncated file."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _is_blank(image: Image.Image) -> bool:
    """Whether hardly more is seen than what Pillow fills the rest of a truncated photo with: black or grey."""
    counts = image.convert("L").histogram()
    return max(counts[0], counts[128]) >= 0.98 * sum(counts)


def _reason(path: Path, error: Exception) -> str:
    """One line on why a file is no photo."""
    if isinstance(error, UnidentifiedImageError):
        with contextlib.suppress(OSError):
            if stamp(path)[0] == 0:
                return "the file is empty"
        return "not a photo in any format known here"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, more than any photo has"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
