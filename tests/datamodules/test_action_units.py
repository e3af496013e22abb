import numpy as np
import pytest

from datamodules.action_units import read_units, sources

NOBODY = np.empty(0, "S1")
ADDRESS = "http://host.edu/data"


def write(path, *rows) -> None:
    """An automatic list: of each row its name and the cells that are not 999, by number."""
    lines = []
    for name, cells in rows:
        line = [f"{ADDRESS}/{name}", "http://elsewhere.org/a,b?c='d'.jpg", *["999"] * 60]
        for number, cell in cells.items():
            line[1 + number] = cell
        lines.append("\t".join(line))
    path.write_text("".join(f"{line}\n" for line in lines))


def read(source):
    return read_units(source, NOBODY, 0.8)


def test_automatic_lists(tmp_path):
    write(tmp_path / "dataFile_0001.txt", ("N_2.jpg", {1: "0", 12: "1"}), ("N_9.jpg", {1: "1", 60: "0"}))
    write(tmp_path / "dataFile_0002.txt", ("N_1.jpg", {12: "0"}))
    table = read(tmp_path / "dataFile_*.txt")
    assert table.units == ("AU1", "AU12", "AU60")  # those of which anything is known
    assert table.names.tolist() == [b"N_1", b"N_2", b"N_9"]
    assert table.values.dtype == np.int8
    assert table.values.tolist() == [[-1, 0, -1], [0, 1, -1], [1, -1, 0]]
    assert read(tmp_path / "dataFile_0002.txt").names.tolist() == [b"N_1"]


def test_lines_may_end_as_on_windows_and_names_be_of_any_letters(tmp_path):
    write(tmp_path / "dataFile_0001.txt", ("une t\u00eate 1.JPG", {4: "1"}), ("N_2.jpg", {4: "0"}))
    path = tmp_path / "dataFile_0001.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    table = read(path)
    assert table.names.tolist() == [b"N_2", "une t\u00eate 1".encode()]
    assert table.values.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    "rows",
    [
        ["URL,URL orig,AU 12,AU 1", f"{ADDRESS}/N_1.jpg,x,1,999", f"{ADDRESS}/N_2.jpg,y,0,1"],
        ["URL,URL orig,AU 12,AU 1", f'{ADDRESS}/N_1.jpg,"x,z",1,999', f'"{ADDRESS}/N_2.jpg",y,0,1'],
        [
            "'URL', 'URL orig', 'AU 12', 'AU 1'",
            f"' {ADDRESS}/N_1.jpg', 'x,z' , 1 ,999",
            f"'{ADDRESS}/N_2.jpg','y',0,1",
        ],
        ["URL , URL orig,AU 12,AU 1 ", f"'{ADDRESS}/N_1.jpg','x,z',1,999", f"'{ADDRESS}/N_2.jpg','y', 0, 1"],
        ["\ufeffAU 1,AU 12,URL orig,URL", f"999,1,x,{ADDRESS}/N_1.jpg", f"1,0,y,{ADDRESS}/N_2.jpg"],
    ],
)
def test_the_list_of_experts_with_and_without_quotes_and_blanks(tmp_path, rows):
    path = tmp_path / "experts.csv"
    path.write_text("\r\n".join(rows), encoding="utf-8")
    table = read(path)
    assert table.names.tolist() == [b"N_1", b"N_2"]
    columns = [table.units.index(unit) for unit in ("AU1", "AU12")]
    assert table.values[:, columns].tolist() == [[-1, 1], [1, 0]]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (("a.jpg\t0", {1: "0"}), r"dataFile_0001\.txt, line 2: 63 columns, expected 62"),
        (("a.jpg", {1: "2"}), r"dataFile_0001\.txt, line 2: AU1 is '2', expected 0, 1, or 999"),
        (("a.jpg", {60: ""}), r"line 2: AU60 is '', expected"),
        (("a.jpg", {5: "nan"}), r"line 2: AU5 is 'nan', expected"),
        (("n" * 256, {1: "0"}), r"dataFile_0001\.txt, line 2: the name that begins with 'n{30}' has 256 bytes"),
        (("", {1: "0"}), r"line 2: the address 'http://host.edu/data/' does not end in a name"),
        (("first.jpg", {1: "0"}), r"dataFile_0001\.txt lists 1 pictures more than once: first$"),
    ],
)
def test_a_list_that_is_not_as_it_should_be(tmp_path, rows, reason):
    path = tmp_path / "dataFile_0001.txt"
    write(path, ("first.jpg", {1: "1"}), rows)
    with pytest.raises(ValueError, match=reason):
        read(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"dataFile_0001\.txt has no row"),
        (f"{ADDRESS}/a.jpg\tx\t0\t1\n", r"line 1: 4 columns, expected 62"),
        ("\t".join([f"{ADDRESS}/a.jpg", "x", *["999"] * 60]), r"999 for one of the units, in all of its 1 rows"),
    ],
)
def test_a_list_of_nothing(tmp_path, text, reason):
    path = tmp_path / "dataFile_0001.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("URL,URL orig\nx/a.jpg,y\n", r"e\.csv has the columns 'URL', 'URL orig'; expected URL, URL orig, AU 1, AU 2"),
        ("URL,AU 1,AU 01\nx/a.jpg,0,0\n", r"expected URL, URL orig, AU 1, AU 2 \.\.\., each once"),
        ("URL,URL,AU 1\nx/a.jpg,x/b.jpg,0\n", r"expected URL, URL orig, AU 1, AU 2 \.\.\., each once"),
        (f"URL,AU {'1' * 5000}\nx/a.jpg,2\n", r"e\.csv, line 2: AU1{29}.* is '2', expected 0, 1, or 999"),
        ("URL,AU 1\nx/a.jpg\n", r"e\.csv, line 2: 1 columns, expected 2"),
        ("URL,AU 1\nx/a.jpg,0\nx/b.jpg,0.5\n", r"e\.csv, line 3: AU1 is '0.5', expected 0, 1, or 999"),
        ("URL,AU 1\n", r"e\.csv has no row"),
    ],
)
def test_a_list_of_experts_that_is_not_as_it_should_be(tmp_path, text, reason):
    path = tmp_path / "e.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read(path)


def test_the_sources_that_a_folder_holds(tmp_path):
    assert sources(tmp_path) == []
    files = ("aus_openface.pkl", "aus.csv", "train_ids.csv", "dataFile_0001.txt", "dataFile_0002.txt", "notes.txt")
    for name in (*files, "imgs/a.csv", "openface/x.csv", "openface/each/a.csv", "openface/empty/a.txt", ".git/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sources(tmp_path) == ["aus_openface.pkl", "aus.csv", "dataFile_*.txt", "openface", "openface/each"]
