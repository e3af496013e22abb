import pickle

import numpy as np
import pytest

from datamodules.openface import read_pickle, read_tables

NUMBERS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
INTENSITIES = [f"AU{number:02d}_r" for number in NUMBERS]
PRESENCES = [f"AU{number:02d}_c" for number in (*NUMBERS[:-1], 28, 45)]
PICTURES = np.array([b"a", b"b", b"c"])


def values(seed: int) -> list[float]:
    """17 intensities in two digits, as OpenFace writes them."""
    return np.round(np.random.default_rng(seed).random(17) * 5, 2).tolist()


def write(path, first: str, rows, separator: str = ",", names=INTENSITIES):
    """A table in the order of OpenFace: what identifies a row, intensities, presences."""
    lines = [separator.join([*first.split(), *names, *PRESENCES])]
    for start, row in rows:
        lines.append(separator.join([*start.split(), *(f"{value:.2f}" for value in row), *["1.00"] * 18]))
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def read(source, min_confidence: float = 0.8):
    return read_tables(source, PICTURES, min_confidence)


def check(table, expected: dict) -> None:
    """Compare with shares of 5, None for unknown."""
    assert table.units == tuple(f"AU{number}" for number in NUMBERS)
    assert table.names.tolist() == sorted(expected)
    assert table.values.dtype == np.float32
    for name, row in zip(table.names.tolist(), table.values, strict=True):
        if expected[name] is None:
            assert (row < 0).all()
        else:
            np.testing.assert_allclose(row, np.array(expected[name]) / 5, atol=1e-6)


VIDEO = "frame face_id timestamp confidence success"


@pytest.mark.parametrize("separator", [",", ", "])
def test_frames_are_the_pictures_by_name(tmp_path, separator):
    rows = [(f"{frame} 0 0.0 0.98 1", values(frame)) for frame in (1, 2, 3)]
    path = write(tmp_path / "video.csv", VIDEO, rows, separator)
    check(read(path), {b"a": values(1), b"b": values(2), b"c": values(3)})
    check(read(tmp_path), {b"a": values(1), b"b": values(2), b"c": values(3)})


@pytest.mark.parametrize("separator", [",", ", "])
def test_a_file_for_each_picture(tmp_path, separator):
    for name in ("a", "caf\u00e9 no. 2"):
        write(tmp_path / "each" / f"{name}.csv", "face confidence", [("0 0.98", values(len(name)))], separator)
    (tmp_path / "each" / "a_of_details.txt").write_text("not a table")
    (tmp_path / "each" / "._a.csv").write_bytes(b"\x00\x05\x16\x07")
    check(read(tmp_path / "each"), {b"a": values(1), "caf\u00e9 no. 2".encode(): values(10)})


def test_a_column_of_names(tmp_path):
    path = write(tmp_path / "named.csv", "image", [("z.jpg", values(0)), ("b.PNG", values(1)), ("c", values(2))])
    check(read(path), {b"b": values(1), b"c": values(2), b"z": values(0)})


def test_names_with_blanks_and_commas_may_be_quoted(tmp_path):
    path = write(tmp_path / "named.csv", "image", [('"x"', values(0)), ("y", values(1))])
    path.write_text(path.read_text().replace('"x"', '"a face, b\u00fcrger.jpg"'))
    check(read(path), {"a face, b\u00fcrger".encode(): values(0), b"y": values(1)})


def test_columns_go_by_name_and_may_have_others_between_them(tmp_path):
    turned = [*INTENSITIES[::-1], "pose_Tx"]
    rows = [(f"{frame} 0 0 1 1", [*values(frame)[::-1], -417.5]) for frame in (1, 2, 3)]
    path = write(tmp_path / "video.csv", VIDEO, rows, names=turned)
    check(read(path), {b"a": values(1), b"b": values(2), b"c": values(3)})


def test_unsure_and_unsuccessful_rows_are_unknown_whatever_stands_there(tmp_path):
    wild = [float("nan"), -1, 99, *values(0)[3:]]
    rows = [("1 0 0 0.79 1", wild), ("2 0 0 0.98 0", wild), ("3 0 0 0.80 1", values(3))]
    path = write(tmp_path / "video.csv", VIDEO, rows)
    check(read(path), {b"a": None, b"b": None, b"c": values(3)})
    with pytest.raises(ValueError, match=r"min_confidence=0.9, in all of its 3 rows"):
        read(path, 0.9)


def test_of_several_faces_the_most_confident_counts(tmp_path, capsys):
    faces = [("0 0.85", values(1)), ("1 0.97", values(2)), ("2 0.40", values(3))]
    write(tmp_path / "each" / "a.csv", "face confidence", faces)
    write(tmp_path / "each" / "b.csv", "face confidence", [("0 0.9", values(4))])
    check(read(tmp_path / "each"), {b"a": values(2), b"b": values(4)})
    assert "each: 1 pictures show several faces; of each the most confident one counts" in capsys.readouterr().out


def test_a_file_of_no_face_is_a_picture_of_which_nothing_is_known(tmp_path):
    write(tmp_path / "each" / "a.csv", "face confidence", [])
    write(tmp_path / "each" / "b.csv", "face confidence", [("0 0.9", values(4))])
    check(read(tmp_path / "each"), {b"a": None, b"b": values(4)})


@pytest.mark.parametrize(
    ("first", "rows", "reason"),
    [
        (VIDEO, [("1 0 0 1 1", values(1)[:-1])], r"x\.csv, line 2: 39 columns, expected 40"),
        (VIDEO, [("1 0 0 1 1", [*values(1), 7])], r"x\.csv, line 2: 41 columns, expected 40"),
        (VIDEO, [("4 0 0 1 1", values(1))], r"x\.csv, line 2: frame '4', but frames count the 3 pictures from 1"),
        (VIDEO, [("0 0 0 1 1", values(1))], r"line 2: frame '0'"),
        (VIDEO, [("one 0 0 1 1", values(1))], r"line 2: frame 'one'"),
        (VIDEO, [("1 0 0 1 1", values(1))], r"x\.csv has 1 frames, but there are 3 pictures"),
        (VIDEO, [("1 0 0 sure 1", values(1))], r"line 2: 'sure' is not a number"),
        (VIDEO, [("1 0 0 98 1", values(1))], r"line 2: the confidence is 98, expected 0 to 1"),
        (VIDEO, [("1 0 0 1 1", values(1))] * 2, r"line 3: 'a' is there more than once"),
        ("image", [("b.jpg", values(1))] * 2, r"line 3: 'b.jpg' is there more than once"),
        ("image", [("b.jpg", values(1)), ("a.jpg", values(1)), ("b.png", values(1))], r"1 pictures more than once: b$"),
        ("image", [("b.jpg", [6, *values(1)[1:]])], r"line 2: AU1 is 6, expected an intensity from 0 to 5"),
        ("image", [("b.jpg", [*values(1)[1:], -0.01])], r"line 2: AU45 is -0.01, expected an intensity from 0 to 5"),
        ("image", [("b.jpg", [*values(1)[1:], float("nan")])], r"line 2: AU45 is nan"),
        ("image", [("b.jpg", [*values(1)[1:], float("inf")])], r"line 2: AU45 is inf"),
        ("image", [("b.jpg", values(1)), ("n" * 256, values(2))], r"x\.csv, line 3: the name .*'n{30}' has 256 bytes"),
        (VIDEO, [("9" * 5000 + " 0 0 1 1", values(1))], r"x\.csv, line 2: frame '9{30}', but frames count the 3"),
        ("image", [], r"x\.csv has no row"),
        ("picture", [("b.jpg", values(1))], r"x\.csv has the columns 'picture', 'AU01_r'.*lacks image, frame or face"),
    ],
)
def test_a_table_that_is_not_as_it_should_be(tmp_path, first, rows, reason):
    path = write(tmp_path / "x.csv", first, rows)
    with pytest.raises(ValueError, match=reason):
        read(path)


def test_a_header_that_lacks_units(tmp_path):
    path = write(tmp_path / "x.csv", "image", [], names=INTENSITIES[:-1])
    with pytest.raises(ValueError, match=r"lacks 'AU45_r'; expected a table of OpenFace"):
        read(path)
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"x\.csv has the columns 'PK.*, and lacks 'AU01_r'"):
        read(path)
    path.write_text("")
    with pytest.raises(ValueError, match=r"x\.csv is empty, expected a table that begins with a header"):
        read(path)


@pytest.mark.parametrize(("first", "column"), [("image AU01_r", "AU01_r"), ("image image", "image")])
def test_a_column_that_is_there_twice(tmp_path, first, column):
    path = write(tmp_path / "x.csv", first, [("b.jpg 3.00", values(1))])
    with pytest.raises(ValueError, match=rf"x\.csv has more than one column of '{column}'"):
        read(path)


def test_a_column_that_nobody_needs_may_be_there_twice(tmp_path):
    path = write(tmp_path / "x.csv", "image note note", [("b.jpg x y", values(1))])
    check(read(path), {b"b": values(1)})


def test_the_pickle(tmp_path):
    path = tmp_path / "aus_openface.pkl"
    path.write_bytes(pickle.dumps({"b": np.array(values(1)), "a": np.array(values(2))}, 2))
    check(read_pickle(path), {b"a": values(2), b"b": values(1)})


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        ({"a": values(1)[:-1]}, r"pkl, key 'a': 16 values, expected 17"),
        (
            {"a": values(1), "b": [*values(1)[1:], 5.01]},
            r"pkl, key 'b': AU45 is 5.01, expected an intensity",
        ),
        ({"a": [float("nan"), *values(1)[1:]]}, r"pkl, key 'a': AU1 is nan"),
        ({"a": values(1), "a.jpg": values(2)}, r"pkl lists 1 pictures more than once: a$"),
        ({}, r"pkl has no row"),
    ],
)
def test_a_pickle_of_something_else(tmp_path, vectors, reason):
    path = tmp_path / "aus_openface.pkl"
    path.write_bytes(pickle.dumps({key: np.array(vector) for key, vector in vectors.items()}))
    with pytest.raises(ValueError, match=reason):
        read_pickle(path)
