from pathlib import Path

import numpy as np
import pytest

from datamodules.files import BLOCK
from datamodules.tables import file_name, packed, rows_of, shown, unit_table, whole


def test_names_are_packed_over_the_border_of_a_block():
    names = [b"%d" % number for number in range(BLOCK + 3)]
    found = packed(iter(names))
    assert found.dtype == np.dtype("S5")
    assert found.tolist() == names
    assert len(packed([])) == 0


def test_a_table_is_sorted_and_has_the_units_of_which_something_is_known():
    rows = [(b"b.png", [0, -1, -1]), (b"a", [-1, -1, 1])]
    table = unit_table(Path("list"), ["AU1", "AU2", "AU4"], "999", "b", rows)
    assert table.units == ("AU1", "AU4")
    assert table.names.tolist() == [b"a", b"b"]
    assert table.values.tolist() == [[-1, 1], [0, -1]]


def test_lines_keep_their_numbers_and_bytes(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b'\xef\xbb\xbfa, b\r\n\r\n"x, y",caf\xe9\n')
    assert list(rows_of(path)) == [(1, ["a", "b"]), (3, ["x, y", "caf\udce9"])]
    with pytest.raises(ValueError, match=r"table\.csv, line 1: 2 columns, expected 3"):
        list(whole(path, rows_of(path), 3))
    path.write_bytes(b"a,b\n" + b"x" * 200_000)
    with pytest.raises(ValueError, match=r"table\.csv, line 2: field larger than field limit"):
        list(rows_of(path))


def test_a_name_is_one_that_a_file_can_have():
    assert file_name("caf\u00e9\udce9", "list") == b"caf\xc3\xa9\xe9"
    assert file_name(b"x" * 255, "list") == b"x" * 255
    with pytest.raises(
        ValueError, match=r"^list, line 7: the name that begins with '\u00e9{30}' has 256 bytes.*most 255"
    ):
        file_name("\u00e9" * 128, "list, line 7")
    with pytest.raises(ValueError, match=r"^list: the name that begins with 'a\\ud800' has letters that no file's"):
        file_name("a\ud800", "list")


def test_what_is_shown_of_a_header_can_be_printed():
    assert shown(["a", "\udcff" * 99, "b\0"], 2) == "'a', '" + r"\udcff" * 30 + "' ..."
