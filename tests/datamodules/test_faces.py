import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datamodules.crops import PRESETS, crop
from datamodules.face_finder import FaceFinder
from datamodules.faces import Tally, _opened, add_arguments, crop_faces, run

# Where `add_face` draws at scale 1, from the face's middle.
EYES_AND_MOUTH = np.array([[-30, -20], [30, -20], [0, 53]])


def wall(height: int = 300, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), (120, 150, 180), np.uint8)


def add_face(photo: np.ndarray, x: int, y: int, scale: float = 1.0) -> np.ndarray:
    """Draw a face that the detector believes in, 150 by 200 pixels at scale 1."""

    def ellipse(across: int, down: int, width: int, height: int, colour: tuple[int, int, int]) -> None:
        centre, axes = (
            (round(x + across * scale), round(y + down * scale)),
            (round(width * scale), round(height * scale)),
        )
        cv2.ellipse(photo, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    ellipse(0, 0, 75, 100, (225, 180, 150))
    for side in (-30, 30):
        ellipse(side, -20, 16, 8, (250, 250, 250))
        ellipse(side, -20, 7, 8, (40, 30, 30))
        ellipse(side, -40, 20, 4, (70, 50, 40))
    ellipse(0, 15, 10, 16, (200, 150, 125))
    ellipse(0, 53, 26, 9, (170, 60, 60))
    photo[...] = cv2.GaussianBlur(photo, (0, 0), 1.5 * scale)
    return photo


def save(pixels: np.ndarray, path: Path, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def entries(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "faces.jsonl").read_text().splitlines()]


def call(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture
def photos(tmp_path) -> Path:
    """A training set of two domains, and a wall."""
    folder = tmp_path / "photos"
    save(add_face(wall(), 150, 160), folder / "train" / "smiling" / "Zo\u00eb at home.JPG", quality=95)
    save(add_face(wall(320, 256), 120, 170), folder / "train" / "neutral" / "a.png")
    save(add_face(wall(), 140, 150), folder / "val" / "smiling" / "a.tif")
    save(wall(), folder / "val" / "neutral" / "wall.png")
    return folder


def check_landmarks(found, x: float, y: float, scale: float) -> None:
    points = np.stack([found.points.real, found.points.imag], axis=1)
    assert np.abs(points - ([x, y] + scale * EYES_AND_MOUTH)).max() < 8 * scale
    left, top, right, bottom = found.box
    assert left < x - 40 * scale < x + 40 * scale < right
    assert top < y - 50 * scale < y + 60 * scale < bottom


def test_a_face_is_found_where_it_was_drawn(finder):
    (found,) = finder.largest([add_face(wall(), 150, 160)])
    check_landmarks(found, 150, 160, 1)
    assert 0.9 < found.probability <= 1


@pytest.mark.parametrize("scale", [3, 6])
def test_a_large_photo_is_searched_smaller_but_measured_in_its_own_pixels(finder, scale):
    (found,) = finder.largest([add_face(wall(300 * scale + 7, 350 * scale + 3), 190 * scale, 140 * scale, scale)])
    check_landmarks(found, 190 * scale, 140 * scale, scale)


def test_of_several_faces_the_largest_is_taken(finder):
    photo = add_face(add_face(wall(300, 500), 100, 150, 0.6), 350, 150, 1)
    (found,) = finder.largest([photo])
    check_landmarks(found, 350, 150, 1)


def test_no_face_is_none_in_any_company(finder):
    photos = [wall(), add_face(wall(), 150, 160), wall(40, 500), add_face(wall(256, 320), 170, 120), wall(10, 10)]
    faces = finder.largest(photos)
    assert [found is None for found in faces] == [True, False, True, False, True]
    for photo, found in zip(photos, faces, strict=True):
        (alone,) = finder.largest([photo])
        assert (alone is None) == (found is None)
        if found is not None:
            np.testing.assert_allclose(found.landmarks, alone.landmarks, atol=0.01)
    assert finder.largest([]) == []


def test_faces_smaller_than_asked_for_are_left_alone():
    photo = add_face(wall(400, 400), 200, 200, 0.6)
    assert FaceFinder(min_face=40).largest([photo])[0] is not None
    assert FaceFinder(min_face=250).largest([photo])[0] is None


def test_the_smallest_face_is_the_same_in_large_photos():
    """A face of 90 by 120 pixels, which has no more than 12 where the photo is shrunk to 640."""
    photo = add_face(wall(4000, 6400), 3000, 1200, 0.6)
    (found,) = FaceFinder(min_face=60).largest([photo])
    assert np.abs(found.landmarks.mean(axis=0) - [3000, 1211]).max() < 12  # it is shown at 40 pixels
    assert FaceFinder(min_face=250).largest([photo]) == [None]


def test_many_large_photos_take_no_more_memory_than_the_detector_can_have(tmp_path):
    """Together they are shown at 12 million pixels, which would take some 600 MB in the detector."""
    code = """
import resource, numpy as np
from datamodules.face_finder import FaceFinder
photos, finder = [np.full((2000, 3000, 3), 150, np.uint8)] * 8, FaceFinder(40)
finder.largest(photos[:1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert finder.largest(photos) == [None] * 8
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300_000  # KiB


def test_the_detector_has_a_smallest_face():
    with pytest.raises(ValueError, match="min_face must be 20 pixels or more, got 19"):
        FaceFinder(19)


def test_folders_and_names_survive_and_the_index_tells_what_was_cut(photos, tmp_path, capsys):
    out = tmp_path / "new" / "faces"
    assert call(photos, out, "--preset", "celeba-hq", "--size", 96) == 0
    found = entries(out)
    assert [(entry["photo"], entry["crop"]) for entry in found] == [
        ("train/neutral/a.png", "train/neutral/a.png"),
        ("train/smiling/Zo\u00eb at home.JPG", "train/smiling/Zo\u00eb at home.png"),
        ("val/smiling/a.tif", "val/smiling/a.png"),
    ]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == sorted([*(entry["crop"] for entry in found), "faces.jsonl", "without_face.txt"])
    entry = found[0]
    photo, face = (np.asarray(Image.open(path)) for path in (photos / entry["photo"], out / entry["crop"]))
    assert face.shape == (96, 96, 3)
    assert np.array_equal(face, crop(photo, np.array(entry["matrix"]), 96))
    assert entry["probability"] > 0.9
    mapped = np.array(entry["landmarks"]) @ np.array(entry["matrix"])[:, :2].T + np.array(entry["matrix"])[:, 2]
    assert mapped[:2, 1] == pytest.approx([44.8, 44.8], abs=1)  # a 36th of the side above the middle, by the recipe
    assert "3 faces (celeba-hq, 96 px)" in capsys.readouterr().out


def test_photos_without_a_face_and_broken_ones_are_listed_and_named(photos, tmp_path, capsys):
    for number in range(11):
        save(wall(64, 64), photos / f"{number:02}.png")
    (photos / "cut.jpg").write_bytes((photos / "train" / "smiling" / "Zo\u00eb at home.JPG").read_bytes()[:500])
    (photos / "empty.png").touch()
    (photos / "notes.txt").touch()
    (photos / "._a.png").touch()
    out = tmp_path / "faces"
    assert call(photos, out, "--size", 32) == 0
    assert (out / "without_face.txt").read_text().split() == [
        *(f"{n:02}.png" for n in range(11)),
        "val/neutral/wall.png",
    ]
    cut, empty = (out / "unreadable.txt").read_text().splitlines()
    assert cut.startswith(f"{photos / 'cut.jpg'}: ")
    assert empty == f"{photos / 'empty.png'}: the file is empty"
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("crops that reach far")]
    assert lines[1].startswith("photos without a face: 12 (00.png, 01.png, ")
    assert lines[1].endswith(f"09.png, ...; all in {out / 'without_face.txt'})")
    assert lines[2] == "photos that cannot be read: 2 (cut.jpg, empty.png)"
    assert lines[3] == "files ignored for their suffix: 1 (notes.txt)"
    assert len(lines) == 4


def test_photos_in_other_formats_are_named(photos, tmp_path, capsys):
    for number in range(10):
        (photos / "val" / f"IMG_{number}.HEIC").touch()
    for name in ("a.jfif", "b.gif", "no_suffix", ".hidden.heic"):
        (photos / name).touch()
    call(photos, tmp_path / "faces", "--size", 16)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("files ignored for their suffix: 13 (a.jfif, b.gif, no_suffix, val/IMG_0.HEIC, ")
    assert last.endswith("val/IMG_6.HEIC, ...)")


def test_names_that_would_break_a_line_are_escaped(tmp_path, capsys):
    names = {"two\nlines\u2028.png": "two\\nlines\\u2028.png", "red\x1b[31m\\.png": "red\\x1b[31m\\\\.png"}
    for name in names:
        save(wall(), tmp_path / "photos" / name)
        (tmp_path / "photos" / f"cut {name}").write_bytes(b"\x89PNG")
    save(add_face(wall(), 150, 160), tmp_path / "photos" / "face\n.png")
    assert call(tmp_path / "photos", tmp_path / "faces", "--size", 16) == 0
    assert (tmp_path / "faces" / "without_face.txt").read_text().splitlines() == sorted(names.values())
    unreadable = (tmp_path / "faces" / "unreadable.txt").read_text().splitlines()
    assert [line.partition(": ")[0] for line in unreadable] == [
        f"{tmp_path / 'photos'}/cut {name}" for name in sorted(names.values())
    ]
    assert entries(tmp_path / "faces")[0]["photo"] == "face\n.png"
    assert f"photos without a face: 2 ({', '.join(sorted(names.values()))})" in capsys.readouterr().out.splitlines()


def test_a_batch_of_photos_is_limited_by_their_pixels(tmp_path):
    """Three photos of 24 million pixels are the first that have 50 million."""
    save(wall(4000, 6000), tmp_path / "0.png", compress_level=1)
    for number in range(1, 4):
        (tmp_path / f"{number}.png").symlink_to("0.png")
    batches = _opened(tmp_path, [f"{number}.png" for number in range(4)], Tally())
    first = next(batches)
    assert list(first) == ["0.png", "1.png", "2.png"]
    assert list(next(batches)) == ["3.png"]  # and the first three are no longer in memory, whoever holds the batch
    assert list(first) in ([], ["3.png"])


def test_without_any_face_nothing_is_written(tmp_path, capsys):
    save(wall(), tmp_path / "photos" / "wall.png")
    assert call(tmp_path / "photos", tmp_path / "faces") == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("no face of 60 pixels or more in ")
    assert second == "photos without a face: 1 (wall.png)"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_run_that_fails_leaves_nothing_behind(photos, tmp_path):
    save(add_face(wall(), 150, 160), photos / "b.jpg")
    save(add_face(wall(), 150, 160), photos / "b.png" / "c.png")  # whose folder cannot be, as b.jpg's face has its name
    with pytest.raises(FileExistsError):
        crop_faces(photos, tmp_path / "faces", size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_photos_that_differ_in_their_suffix_only_get_a_crop_each(tmp_path):
    for name in ("a.jpg", "a.png", "a.png.bmp", "a.bmp", "b.png"):
        save(add_face(wall(), 150, 160), tmp_path / "photos" / name)
    crop_faces(tmp_path / "photos", tmp_path / "faces", size=16)
    assert {entry["photo"]: entry["crop"] for entry in entries(tmp_path / "faces")} == {
        "a.bmp": "a.png",
        "a.jpg": "a.jpg.png",
        "a.png": "a.png.png",
        "a.png.bmp": "a.png.bmp.png",
        "b.png": "b.png",
    }


def test_photos_are_turned_upright_and_made_rgb(tmp_path):
    photo = add_face(wall(), 150, 160)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise to be upright
    save(np.rot90(photo).copy(), tmp_path / "photos" / "turned.png", exif=exif)
    save(np.dstack([photo, np.full((300, 300), 255, np.uint8)]), tmp_path / "photos" / "opaque.png")
    crop_faces(tmp_path / "photos", tmp_path / "faces", size=64)
    matrices = [np.array(entry["matrix"]) for entry in entries(tmp_path / "faces")]
    assert np.array_equal(*matrices)
    for name in ("turned.png", "opaque.png"):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "faces" / name)), crop(photo, matrices[0], 64))


def test_links_to_folders_are_followed_but_not_in_circles(photos, tmp_path):
    (photos / "train" / "again").symlink_to(photos)
    (photos / "test").symlink_to(photos / "val")
    assert crop_faces(photos, tmp_path / "faces", size=16).faces == 4
    assert (tmp_path / "faces" / "test" / "smiling" / "a.png").is_file()


def test_a_name_that_is_no_utf8(tmp_path, capsys):
    for pixels, name in ((add_face(wall(), 150, 160), b"caf\xe9.png"), (wall(), b"mur\xe9.png")):
        save(pixels, tmp_path / "photos" / "plain.png")
        (tmp_path / "photos" / "plain.png").rename(tmp_path / "photos" / os.fsdecode(name))
    assert call(tmp_path / "photos", tmp_path / "faces") == 0
    (entry,) = entries(tmp_path / "faces")
    assert os.fsencode(entry["photo"]) == b"caf\xe9.png"
    assert (tmp_path / "faces" / entry["crop"]).is_file()
    assert (tmp_path / "faces" / "without_face.txt").read_bytes() == b"mur\xe9.png\n"
    assert "mur\ufffd.png" in capsys.readouterr().out


def test_what_exists_is_not_written_over(photos, tmp_path):
    (tmp_path / "faces").mkdir()
    with pytest.raises(FileExistsError, match=r"faces exists already: choose a new folder, or delete that one first"):
        crop_faces(photos, tmp_path / "faces")


def test_faces_do_not_go_among_the_photos(photos, tmp_path):
    (tmp_path / "link").symlink_to(photos)
    for out in (photos / "faces", tmp_path / "link" / "faces"):
        with pytest.raises(ValueError, match=r"faces lies inside .*photos, where its faces would count as photos"):
            crop_faces(photos, out)


def test_a_folder_without_photos(tmp_path):
    (tmp_path / "photos" / "deeper").mkdir(parents=True)
    (tmp_path / "photos" / "deeper" / "notes.txt").touch()
    message = r"no photo \(.*\.jpg.*\), nor have the folders in it; of other files they hold 1 \(deeper/notes.txt\)"
    with pytest.raises(FileNotFoundError, match=message):
        crop_faces(tmp_path / "photos", tmp_path / "faces")
    with pytest.raises(FileNotFoundError, match=r"absent is not a folder; expected one with photos"):
        crop_faces(tmp_path / "absent", tmp_path / "faces")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "ffhq"}, "preset must be one of celeba, .*, got 'ffhq'"),
        ({"size": 0}, "size must be 1 pixel or more"),
    ],
)
def test_settings_out_of_range(photos, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        crop_faces(photos, tmp_path / "faces", **settings)


def test_declaring_the_arguments_loads_no_network():
    code = "import sys, datamodules.faces; print({'torch', 'facenet_pytorch', 'pytorch_lightning'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def real(shared_data) -> list[np.ndarray]:
    """Ten faces that CelebA-HQ's recipe cut, 256 pixels."""
    paths = sorted((shared_data / "celeba-hq-sample" / "val").rglob("*.jpg"))
    return [np.asarray(Image.open(path)) for path in paths]


def test_real_eyes_come_to_lie_where_celeba_has_them(finder, real):
    crops = [crop(photo, PRESETS["celeba"](face).matrix(178), 178) for photo, face in found(finder, real)]
    eyes = np.array([face.landmarks[:2] for _, face in found(finder, crops)])
    assert np.linalg.norm(eyes - [[69.5, 91.2], [107.6, 91.5]], axis=2).mean() < 3


def test_the_recipe_of_celeba_hq_gives_its_pictures_again(finder, real):
    corners = np.array([[-0.5, -0.5], [255.5, -0.5], [255.5, 255.5], [-0.5, 255.5]])
    errors = []
    for _, face in found(finder, real):
        matrix = PRESETS["celeba-hq"](face).matrix(256)
        errors.append(np.linalg.norm(corners @ matrix[:, :2].T + matrix[:, 2] - corners, axis=1))
    assert np.mean(errors) < 10  # of 256; the eyes that it was cut by are not this detector's


def found(finder: FaceFinder, photos: list[np.ndarray]) -> list[tuple]:
    return list(zip(photos, finder.largest(photos), strict=True))
