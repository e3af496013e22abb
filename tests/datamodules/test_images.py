import struct
import timeit
import zlib

import numpy as np
import pytest
from PIL import Image

from datamodules.images import UnreadableImage, read_image, read_photo

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(size: int = 16) -> np.ndarray:
    """Red and green above blue and white: shows every mirroring and rotation."""
    return np.array([[RED, GREEN], [BLUE, WHITE]], dtype=np.uint8).repeat(size // 2, 0).repeat(size // 2, 1)


def corners(image: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(image[y, x].tolist()) for y in (1, -2) for x in (1, -2)]


def read(tmp_path, image: Image.Image, name: str = "picture.png", size: int = 16, **options) -> np.ndarray:
    image.save(tmp_path / name, **options)
    pixels = read_image(tmp_path / name, size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    return pixels


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_a_lossless_picture_of_the_right_size_is_unchanged(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    assert np.array_equal(read(tmp_path, Image.fromarray(pixels), f"picture.{suffix}", **options), pixels)


def test_jpeg_is_read(tmp_path):
    pixels = read(tmp_path, Image.fromarray(quarters()), "picture.jpg", quality=100, subsampling=0)
    assert np.allclose(pixels, quarters(), atol=4)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_an_ordinary_jpeg_has_the_pixels_that_pillow_gives_it(tmp_path, mode, options):
    y, x = np.mgrid[:37, :37]
    pixels = np.stack([128 + 90 * np.sin(x / 3), 128 + 90 * np.cos(y / 5), 3 * x + 3 * y], -1).astype(np.uint8)
    path = tmp_path / "picture.jpg"
    Image.fromarray(pixels).convert(mode).save(path, **options)
    assert np.array_equal(read_image(path, 37), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize(("size", "side"), [(128, 178), (64, 100), (40, 30)])
def test_scaling_is_pillows_bicubic_to_one_level(tmp_path, size, side):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)).astype(int)
    assert abs(read(tmp_path, Image.fromarray(pixels), size=size) - expected).max() <= 1


def test_a_jpeg_with_something_after_its_end_is_read(tmp_path):
    path = tmp_path / "picture.jpg"
    Image.fromarray(quarters()).save(path, quality=100, subsampling=0)
    path.write_bytes(path.read_bytes() + b"a camera's own")
    assert np.allclose(read_image(path, 16), quarters(), atol=4)


def test_grey_becomes_rgb(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(read(tmp_path, Image.fromarray(grey)), grey[..., None].repeat(3, 2))


def test_bilevel_becomes_black_and_white(tmp_path):
    pixels = read(tmp_path, Image.fromarray(np.eye(16) > 0))
    assert np.array_equal(pixels[..., 0], 255 * np.eye(16))


def test_a_palette_is_looked_up(tmp_path):
    assert np.array_equal(read(tmp_path, Image.fromarray(quarters()).quantize(4)), quarters())


def test_transparent_parts_become_white(tmp_path):
    pixels = np.zeros((16, 16, 4), dtype=np.uint8)
    pixels[..., 0], pixels[:8, :, 3], pixels[8:, :8, 3] = 200, 255, 51  # opaque, a fifth, none
    rgb = read(tmp_path, Image.fromarray(pixels))
    assert rgb[0, 0].tolist() == [200, 0, 0]
    assert np.allclose(rgb[-1, 0], [0.2 * 200 + 0.8 * 255, 0.8 * 255, 0.8 * 255], atol=1)
    assert rgb[-1, -1].tolist() == [255, 255, 255]


def test_transparency_of_grey_and_of_a_palette_is_seen_too(tmp_path):
    grey = np.zeros((16, 16, 2), dtype=np.uint8)
    assert read(tmp_path, Image.fromarray(grey, "LA")).min() == 255
    palette = Image.fromarray(quarters()).quantize(4)
    red = int(np.asarray(palette)[0, 0])
    assert corners(read(tmp_path, palette, transparency=red)) == [WHITE, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_converted(tmp_path, suffix):
    image = Image.fromarray(quarters()).convert("CMYK")
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    pixels = read(tmp_path, image, f"picture.{suffix}", **options)
    assert np.allclose(corners(pixels), [RED, GREEN, BLUE, WHITE], atol=6)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = read(tmp_path, Image.fromarray(values), f"picture.{suffix}")
    assert np.array_equal(pixels[..., 1], np.arange(256).reshape(16, 16))


def test_sixteen_bit_colour_is_scaled(tmp_path):
    values = np.linspace(0, 65535, 256).astype(">u2").reshape(16, 16, 1).repeat(3, 2)
    write_png(tmp_path / "picture.png", 16, 16, depth=16, colour=2, rows=[row.tobytes() for row in values])
    pixels = read_image(tmp_path / "picture.png", 16)
    assert abs(pixels[..., 0].astype(int) - np.arange(256).reshape(16, 16)).max() <= 1


def test_pixels_without_a_known_range_are_refused(tmp_path):
    with pytest.raises(UnreadableImage, match=r"picture.tif: pixels of mode F have no known range"):
        read(tmp_path, Image.fromarray(np.ones((16, 16), dtype=np.float32)), "picture.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_turns_a_picture_upright(tmp_path, orientation, suffix):
    undone = {  # what a camera held that way stores, so that a viewer that follows EXIF shows the quarters upright
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(undone[orientation](quarters(32))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = read(tmp_path, stored, f"picture.{suffix}", exif=exif, quality=95)
    assert np.allclose(corners(pixels), [RED, GREEN, BLUE, WHITE], atol=25)


@pytest.mark.parametrize(("width", "height"), [(48, 16), (16, 48), (97, 31)])
def test_the_centre_of_the_longer_side_is_kept(tmp_path, width, height):
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([x * 255 / width, y * 255 / height, 0 * x], -1).round().astype(np.uint8)
    pixels = read(tmp_path, Image.fromarray(ramp))
    margin = min(width, height) / 2
    for channel, side, line in ((0, width, pixels[8, :, 0]), (1, height, pixels[:, 8, 1])):
        expected = ((np.arange(16) + 0.5) / 16 * 2 * margin + side / 2 - margin - 0.5) * 255 / side
        assert np.allclose(line, expected, atol=3), channel


def test_shrinking_is_antialiased(tmp_path):
    checkers = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    assert abs(read(tmp_path, Image.fromarray(checkers))[..., 0].astype(int) - 127.5).max() < 2


def test_a_large_jpeg_decoded_small_looks_like_one_decoded_whole(tmp_path):
    y, x = np.mgrid[:512, :640] / 64
    smooth = np.stack([128 + 100 * np.sin(x), 128 + 100 * np.cos(y), 128 + 60 * np.sin(x + y)], -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "whole.png")
    small = read(tmp_path, Image.fromarray(smooth), "large.jpg", size=32, quality=95)
    assert abs(small.astype(int) - read_image(tmp_path / "whole.png", 32)).mean() < 1


def test_a_large_turned_photo_is_decoded_small_and_turned(tmp_path):
    """Sooner than the whole is decoded; and it looks as the upright one does."""
    y, x = np.mgrid[:1536, :2048] / 200
    smooth = np.stack([128 + 100 * np.sin(x), 128 + 100 * np.cos(y), 128 + 60 * np.sin(x + y)], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright, stored = Image.fromarray(smooth), Image.fromarray(np.rot90(smooth).copy())
    expected = read(tmp_path, upright, "upright.png", size=32).astype(int)
    assert abs(read(tmp_path, stored, "turned.jpg", size=32, quality=95, exif=exif) - expected).mean() < 1
    whole, small = (
        min(timeit.repeat(lambda read=read: read(tmp_path / "turned.jpg"), number=1, repeat=5))
        for read in (read_photo, lambda path: read_image(path, 32))
    )
    assert small < whole


def test_a_small_picture_is_enlarged(tmp_path):
    assert corners(read(tmp_path, Image.fromarray(quarters(8)), size=32)) == [RED, GREEN, BLUE, WHITE]


def test_a_photo_keeps_its_size_and_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise to be upright
    pixels = np.random.default_rng(0).integers(0, 256, (40, 300, 3)).astype(np.uint8)
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / "photo.png", exif=exif)
    assert np.array_equal(read_photo(tmp_path / "photo.png"), pixels)
    Image.fromarray(np.full((40, 300), 90, np.uint8)).save(tmp_path / "photo.jpg")
    assert np.array_equal(read_photo(tmp_path / "photo.jpg"), np.full((40, 300, 3), 90))


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UnreadableImage, match=r"empty\.jpg: the file is empty"):
        read_image(tmp_path / "empty.jpg", 16)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_named(tmp_path, suffix, part):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(UnreadableImage, match=rf"cut\.{suffix}: "):
        read_image(path, 16)


def test_what_is_no_picture_and_what_is_not_there_are_named(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("text.png", "absent.png"):
        with pytest.raises(UnreadableImage, match=name):
            read_image(tmp_path / name, 16)


def test_what_may_turn_a_picture_is_followed_wherever_it_stands_in_the_header(tmp_path):
    """After the frame; a camera may write it there."""
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    path = tmp_path / "turned.jpg"
    Image.fromarray(quarters(32)).save(path, quality=95)
    data = path.read_bytes()
    scan = data.index(b"\xff\xda")
    path.write_bytes(data[:scan] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + data[scan:])
    assert Image.open(path).getexif()[0x0112] == 6
    assert np.allclose(corners(read_image(path, 16)), [BLUE, RED, WHITE, GREEN], atol=25)


def test_a_damaged_exif_does_not_matter_if_it_says_how_to_turn_the_picture(tmp_path):
    """Its resolution, which should be a fraction, is said to be a byte; Pillow could not write that again."""
    fields = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(">HHII", 0x011A, 1, 1, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + fields + b"\0\0\0\0"
    pixels = read(tmp_path, Image.fromarray(quarters(32)), "turned.jpg", exif=exif, quality=95)
    assert np.allclose(corners(pixels), [BLUE, RED, WHITE, GREEN], atol=25)


def test_an_absurdly_large_picture_is_refused_unread(tmp_path):
    write_png(tmp_path / "bomb.png", 60_000, 60_000, depth=8, colour=2, rows=[])
    with pytest.raises(UnreadableImage, match=r"bomb\.png: Image size \(3600000000 pixels\) exceeds limit"):
        read_image(tmp_path / "bomb.png", 16)


def write_png(path, width: int, height: int, depth: int, colour: int, rows: list[bytes]) -> None:
    """A PNG from its specification, for what Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
