"""Photos of every kind become upright RGB arrays; broken ones become a note."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import PLAIN, apart, scene
from PIL import Image, ImageFile, ImageOps

from backbones.photos import Box, Frame, fit, show
from backbones.photos.decode import DAMAGED, TRUNCATED, decode


def pixels_of(path: Path, box: Box | None = None, frame: Frame = PLAIN) -> np.ndarray:
    shown = show(path, [box], frame)
    assert shown.note == ""
    assert shown.pixels is not None
    assert shown.pixels.dtype == np.uint8
    assert shown.pixels.shape == (1, frame.height, frame.width, 3)
    return shown.pixels[0]


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


@pytest.mark.realdata
def test_real_photos_equal_pillows_own_way(real_data: Path) -> None:
    for path in sorted((real_data / "photoid" / "train_images").iterdir())[::60]:
        plain = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        assert apart(pixels_of(path, frame=Frame(224, 224)), plain) < 0.5
