"""Photos of every kind become upright RGB arrays; broken ones become a note."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from backbones.photos import Box, Frame, fit, show
from backbones.photos.decode import DAMAGED, TRUNCATED, decode
from cv import FinblendError

PLAIN = Frame(64, 96)


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture whose four corners all differ."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    bands = [40 + 180 * x, 30 + 190 * y, 128 + 90 * np.sin(5 * x + 3 * y)]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))


def pixels_of(path: Path, box: Box | None = None, frame: Frame = PLAIN) -> np.ndarray:
    shown = show(path, [box], frame)
    assert shown.note == ""
    assert shown.pixels is not None
    assert shown.pixels.dtype == np.uint8
    assert shown.pixels.shape == (1, frame.height, frame.width, 3)
    return shown.pixels[0]


def apart(a: np.ndarray, b: Any) -> float:
    return float(np.abs(a.astype(float) - np.asarray(b, dtype=float)).mean())


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.jpg", "a.webp", "a.gif", "really_a_png.jpg"])
def test_formats(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    scene().save(path, format="PNG" if "png" in name else None)
    assert apart(pixels_of(path), scene()) < (0.01 if path.suffix in {".png", ".bmp", ".tiff"} else 6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_exif_turns_photos_and_boxes_are_of_the_upright_photo(tmp_path: Path, orientation: int, suffix: str) -> None:
    path, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[0x0112] = orientation
    scene().save(path, exif=exif, **({"quality": 95} if suffix in {".jpg", ".webp"} else {}))
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    assert upright.size == ((96, 64) if orientation < 5 else (64, 96))
    frame = Frame(upright.height, upright.width)
    assert apart(pixels_of(path, frame=frame), upright) == 0
    box = pixels_of(path, Box(5, 10, 45, 50), Frame(40, 40))
    assert apart(box, upright.crop((5, 10, 45, 50))) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_smaller_decoding_looks_like_the_full_one(tmp_path: Path, orientation: int) -> None:
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = orientation
    rng = np.random.default_rng(0)
    # sides that no scale divides, and detail that a shift by a pixel would show
    coarse = Image.fromarray(rng.integers(0, 255, (42, 61, 3), dtype=np.uint8))
    coarse.resize((1237, 843), Image.Resampling.BICUBIC).save(path, exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    for frame in (Frame(40, 48), Frame(48, 40, "crop"), Frame(40, 48, "pad")):
        for box in (None, Box(101, 203, 633, 707), Box(0.1, 0.1, 0.9, 0.95, relative=True)):
            place = box and box.pixels(*upright.size)
            assert apart(pixels_of(path, box, frame), fit(upright, place, frame)) < 1.5
    # a box to be shown in full keeps its pixels
    box = Box(400, 300, 500, 400)
    assert apart(pixels_of(path, box, Frame(100, 100)), upright.crop((400, 300, 500, 400))) == 0


def test_scale_is_as_small_as_twice_the_frame_allows(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene(1600, 800).save(path)
    for wanted, scale in ((16.0, 8), (8.0, 8), (7.9, 4), (2.0, 2), (1.9, 1), (0.1, 1)):
        decoded = decode(path, lambda width, height, wanted=wanted: wanted)
        assert (decoded.scale, decoded.width, decoded.height) == (scale, 1600, 800)
        assert decoded.image is not None
        assert decoded.image.size == (1600 // scale, 800 // scale)
    seen = []
    decode(path, lambda width, height: seen.append((width, height)) or 1.0)
    assert seen == [(1600, 800)]


def test_tiny_photos_are_never_scaled_away(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (3, 5000), (10, 200, 90)).save(path)
    for resize in ("squash", "pad", "crop"):
        assert pixels_of(path, frame=Frame(1, 1, resize)).shape == (1, 1, 3)
        assert pixels_of(path, frame=Frame(32, 32, resize)).shape == (32, 32, 3)


def test_cmyk_is_not_inverted(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene().convert("CMYK").save(path, quality=95)
    assert Image.open(path).mode == "CMYK"
    assert apart(pixels_of(path), scene()) < 3


def test_ycck_is_not_inverted(tmp_path: Path) -> None:
    # Pillow writes no YCCK: store the planes of YCCK as if they were CMYK, then mark the file as YCCK
    path = tmp_path / "a.jpg"
    cmyk = np.asarray(scene().convert("CMYK"))
    planes = np.asarray(Image.fromarray(cmyk[:, :, :3]).convert("YCbCr"))
    stored = np.dstack([255 - planes, cmyk[:, :, 3]])
    Image.fromarray(np.ascontiguousarray(stored), mode="CMYK").save(path, quality=95, subsampling=0)
    content = bytearray(path.read_bytes())
    place = content.index(b"Adobe")
    assert content[place + 11] == 0
    content[place + 11] = 2
    path.write_bytes(content)
    assert apart(pixels_of(path), scene()) < 4


@pytest.mark.parametrize(("bits", "highest"), [(16, 65_000), (12, 4000), (8, 200)])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_as_many_as_the_brightest_pixel_needs(tmp_path: Path, bits: int, highest: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    values = np.linspace(0, highest, 96 * 64).reshape(64, 96).astype(np.uint16)
    Image.fromarray(values).save(path)
    expected = np.rint(values * (255 / (2**bits - 1)))
    assert apart(pixels_of(path), np.dstack([expected] * 3)) < 0.01


def test_other_numbers_are_stretched(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 96 * 64).reshape(64, 96)
    expected = np.dstack([np.rint(ramp * 255)] * 3)
    for values in ((ramp * 1e6 - 5).astype(np.int32), ramp.astype(np.float32), (ramp * 9e9 - 3e9).astype(np.float32)):
        path = tmp_path / "a.tiff"
        Image.fromarray(values).save(path)
        assert apart(pixels_of(path), expected) < 0.1
    holes = ramp.astype(np.float32)
    holes[0, 0], holes[0, 1] = np.nan, np.inf
    Image.fromarray(holes).save(path)
    assert apart(pixels_of(path), expected) < 0.1
    Image.fromarray(np.full((64, 96), 70_000, dtype=np.int32)).save(path)  # nothing to stretch
    assert not pixels_of(path).any()


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    image = scene().convert(mode)
    image.save(path)
    assert apart(pixels_of(path), image.convert("RGB")) == 0


def test_transparency_shows_the_fill(tmp_path: Path) -> None:
    path, frame = tmp_path / "a.png", Frame(64, 96, fill=(10, 20, 30))
    image = scene().convert("RGBA")
    alpha = np.full((64, 96), 255, dtype=np.uint8)
    alpha[:, :32], alpha[:, 32:64] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    image.save(path)
    shown, plain = pixels_of(path, frame=frame), np.asarray(scene())
    assert (shown[:, :32] == (10, 20, 30)).all()
    assert apart(shown[:, 32:64], (plain[:, 32:64] + np.array([10.0, 20, 30])) / 2) < 1
    assert apart(shown[:, 64:], plain[:, 64:]) == 0
    palette = Image.new("P", (96, 64), 1)
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.paste(0, (0, 0, 48, 64))
    palette.save(path, transparency=0)
    shown = pixels_of(path, frame=frame)
    assert (shown[:, :48] == (10, 20, 30)).all()
    assert (shown[:, 48:] == (0, 200, 0)).all()
    image.convert("LA").save(path)
    assert (pixels_of(path, frame=frame)[:, :32] == (10, 20, 30)).all()


@pytest.mark.parametrize("suffix", [".gif", ".tiff", ".webp", ".mpo"])
def test_the_first_frame_is_shown(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (96, 64), (200, 30, 30)).save(
        path, save_all=True, append_images=[Image.new("RGB", (96, 64), (30, 30, 200))]
    )
    assert apart(pixels_of(path), np.full((64, 96, 3), (200, 30, 30))) < 8


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_truncated_photos_are_shown_as_far_as_they_go(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    scene(480, 640).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    shown = show(path, [None], Frame(640, 480))
    assert shown.note == TRUNCATED
    assert shown.pixels is not None
    rows = slice(0, 150) if suffix != ".bmp" else slice(490, 640)  # BMP begins below
    assert apart(shown.pixels[0][rows], np.asarray(scene(480, 640))[rows]) < 5
    assert apart(shown.pixels[0], scene(480, 640)) > 5
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_truncated_large_photo_is_shown_smaller(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene(1600, 1200).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    shown = show(path, [None], Frame(60, 80))
    assert shown.note == TRUNCATED
    assert shown.pixels is not None
    assert apart(shown.pixels[0][:30], fit(scene(1600, 1200), None, Frame(60, 80))[:30]) < 3


def test_damage_inside_a_photo_is_shown_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    scene(480, 640).save(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60] = b"\xff" * 60
    path.write_bytes(content)
    shown = show(path, [None], Frame(640, 480))
    assert shown.note == DAMAGED
    assert shown.pixels is not None
    assert apart(shown.pixels[0][:150], np.asarray(scene(480, 640))[:150]) == 0


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    scene(480, 640).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    scan = whole.index(b"\xff\xda")
    scene().save(folder / "bomb.png")
    png = (folder / "bomb.png").read_bytes()
    huge = b"IHDR" + struct.pack(">II", 60_000, 60_000) + png[24:29]
    files = {
        "empty.jpg": (b"", "unreadable: the file is empty"),
        "text.jpg": (b"<html>404 not found</html>", "unreadable: not a photo in any format known here"),
        "bomb.png": (
            png[:12] + huge + struct.pack(">I", zlib.crc32(huge)) + png[33:],
            "unreadable: more than 178,956,970 pixels, more than any photo has",
        ),
        "header.jpg": (whole[: scan + 14], "unreadable: ends where it begins"),
        "start.jpg": (whole[:20], "unreadable: "),
        "eps.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unreadable: not a photo"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    out = {name: (folder / name, note) for name, (_, note) in files.items()}
    return out | {
        "folder.jpg": (folder / "folder.jpg", "unreadable: Is a directory"),
        "gone.jpg": (folder / "gone.jpg", "unreadable: No such file or directory"),
    }


@pytest.mark.parametrize(
    "name", ["empty.jpg", "text.jpg", "bomb.png", "header.jpg", "start.jpg", "eps.jpg", "folder.jpg", "gone.jpg"]
)
def test_unreadable_files_are_a_note(tmp_path: Path, name: str) -> None:
    path, note = broken_files(tmp_path)[name]
    shown = show(path, [None, Box(0, 0, 50, 50)], PLAIN)
    assert shown.pixels is None
    assert shown.note.startswith(note)
    assert "\n" not in shown.note
    assert shown.fallback == shown.outside == (False, False)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".webp", ".gif"])
def test_no_damage_raises(tmp_path: Path, suffix: str) -> None:
    path, rng = tmp_path / f"a{suffix}", np.random.default_rng(1)
    scene().save(path)
    whole = path.read_bytes()
    for _ in range(150):
        content = np.frombuffer(whole, dtype=np.uint8).copy()
        places = rng.integers(0, min(len(content), 700), rng.integers(1, 6))
        content[places] = rng.integers(0, 256, len(places))
        path.write_bytes(content[: rng.integers(1, len(content) + 1)].tobytes())
        shown = show(path, [None], Frame(8, 8))
        assert (shown.pixels is None) == shown.note.startswith("unreadable: ")


def test_large_photos_bring_no_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "a.jpg"
    Image.new("L", (12_000, 8_000), 77).save(path)
    assert (pixels_of(path, frame=Frame(16, 16)) == 77).all()
    assert not recwarn.list


def test_broken_exif_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene().save(path, exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff", quality=95)
    assert apart(pixels_of(path), scene()) < 3


def test_squash_pad_and_crop_by_hand() -> None:
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    squashed = fit(image, None, Frame(20, 20, interpolation="nearest"))
    assert (squashed[:, :10] == (255, 0, 0)).all()
    assert (squashed[:, 10:] == (0, 0, 255)).all()
    padded = fit(image, None, Frame(20, 20, "pad", fill=(1, 2, 3)))
    assert (padded[:5] == (1, 2, 3)).all()
    assert (padded[15:] == (1, 2, 3)).all()
    assert (padded[5:15, :8] == (255, 0, 0)).all()
    assert (padded[5:15, 12:] == (0, 0, 255)).all()
    cropped = fit(image, None, Frame(20, 20, "crop"))
    np.testing.assert_array_equal(cropped, np.asarray(image.crop((10, 0, 30, 20))))
    right = fit(image, (20, 0, 40, 20), Frame(7, 9, "crop"))
    assert (right[:, 1:] == (0, 0, 255)).all()  # the first column's filter also looks at what is left of the box
    wide = fit(image, (20, 0, 40, 10), Frame(10, 10, "pad", fill=(1, 2, 3)))
    assert (wide[[0, 1, 8, 9]] == (1, 2, 3)).all()
    assert (wide[3:7, 2:] == (0, 0, 255)).all()


def test_pixels_are_averaged_not_skipped() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    for interpolation in ("bilinear", "bicubic", "lanczos"):
        shown = fit(Image.fromarray(stripes), None, Frame(4, 4, interpolation=interpolation))
        assert np.abs(shown.astype(int) - 128).max() < 12
    assert set(np.unique(fit(Image.fromarray(stripes), None, Frame(4, 4, interpolation="nearest")))) <= {0, 255}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "needs sides of 1 to 8192"),
        ({"width": -4}, "needs sides of 1 to 8192"),
        ({"resize": "stretch"}, "resize 'stretch' is none of squash, pad, crop"),
        ({"interpolation": "cubic"}, "interpolation 'cubic' is none of"),
        ({"fill": (0, 0, 256)}, "fill .* needs red, green and blue"),
        ({"fill": (0, 0)}, "fill .* needs red, green and blue"),
    ],
)
def test_frames_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FinblendError, match=message):
        Frame(**{"height": 8, "width": 8, **change})


def test_one_decode_serves_all_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened, real = tmp_path / "a.png", [], Image.open
    scene().save(path)
    monkeypatch.setattr(Image, "open", lambda *args, **more: (opened.append(args), real(*args, **more))[1])
    boxes = [None, Box(10, 10, 40, 40), Box(90, 10, 95, 60), Box(0, 0, 300, 64), Box(500, 0, 600, 64)]
    shown = show(path, boxes, Frame(16, 16))
    assert len(opened) == 1
    assert shown.fallback == (False, False, True, False, True)
    assert shown.outside == (False, False, False, True, True)
    assert shown.pixels is not None
    expected = [None, (10, 10, 40, 40), None, (0, 0, 96, 64), None]
    for pixels, place in zip(shown.pixels, expected, strict=True):
        np.testing.assert_array_equal(pixels, fit(scene(), place, Frame(16, 16)))
    assert show(path, [], Frame(16, 16)).pixels.shape == (0, 16, 16, 3)


def test_jitter_moves_boxes_and_crops_whole_photos(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    scene().save(path)

    def drawn(seed: int) -> np.ndarray:
        pixels = show(path, [None, Box(20, 20, 60, 50)], PLAIN, jitter=0.2, rng=np.random.default_rng(seed)).pixels
        assert pixels is not None
        return pixels

    np.testing.assert_array_equal(drawn(3), drawn(3))
    for which in (0, 1):
        assert apart(drawn(3)[which], drawn(4)[which]) > 0.5


def test_frames_and_boxes_travel_to_workers(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    for thing in (PLAIN, Box(1, 2, 3, 4, True)):
        assert pickle.loads(pickle.dumps(thing)) == thing
    shown = show(tmp_path / "a.png", [None], PLAIN)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(shown)).pixels, shown.pixels)


@pytest.mark.realdata
def test_real_photos_equal_pillows_own_way(real_data: Path) -> None:
    for path in sorted((real_data / "photoid" / "train_images").iterdir())[::60]:
        plain = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        assert apart(pixels_of(path, frame=Frame(224, 224)), plain) < 0.5
