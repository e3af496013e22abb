import os
import pickle
import random

import numpy as np
import pytest

from datamodules.pickled import pickled_vectors

VALUES = np.array([0.25, 5.0, 3.37, 0.0])


class Calls:
    """Pickled, it makes the reader call a function."""

    def __init__(self, *reduced) -> None:
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def read(tmp_path, content) -> dict:
    path = tmp_path / "aus.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return dict(pickled_vectors(path))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", ">f4"])
def test_arrays_of_any_protocol_and_byte_order(tmp_path, protocol, kind):
    vectors = {"one": VALUES.astype(kind), "other": VALUES[::-1].astype(kind)}
    found = read(tmp_path, pickle.dumps(vectors, protocol))
    assert {name.decode(): values for name, values in found.items()} == {
        name: tuple(vector.astype(float).tolist()) for name, vector in vectors.items()
    }


def test_the_real_pickle_of_python_2(shared_data):
    path = shared_data / "emotionet-sample" / "aus_openface.pkl"
    with path.open("rb") as file:
        plain = pickle.load(file, encoding="latin1")
    assert dict(pickled_vectors(path)) == {os.fsencode(key): tuple(values) for key, values in plain.items()}


def test_names_are_bytes_whether_python_2_or_3_wrote_them(tmp_path):
    by_python_3 = pickle.dumps({"caf\u00e9 1": VALUES}, 2)
    text = "caf\u00e9 1".encode()
    unicode, string = b"X\x07\x00\x00\x00" + text, b"U\x07" + text  # the same name as Python 2's str
    assert unicode in by_python_3
    for content in (by_python_3, by_python_3.replace(unicode, string)):
        assert read(tmp_path, content) == {text: tuple(VALUES)}


@pytest.mark.parametrize("where", ["key", "value", "alone"])
def test_a_pickle_cannot_run_a_program(tmp_path, where):
    payload = Calls(os.system, (f"touch {tmp_path / 'ran'}",))
    content = {"key": {payload: VALUES}, "value": {"one": payload}, "alone": payload}[where]
    with pytest.raises(
        ValueError, match=rf"aus\.pkl cannot be read \(it asks for {os.name}\.system, which plain arrays"
    ):
        read(tmp_path, content)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("function", [eval, exec, getattr, np.load, np.fromfile, pickle.loads])
def test_no_function_but_those_that_make_arrays_is_found(tmp_path, function):
    with pytest.raises(ValueError, match=rf"it asks for \S*\.{function.__name__}, which"):
        read(tmp_path, {"one": Calls(function, ("1",))})


def test_codecs_are_not_a_way_around(tmp_path):
    from _codecs import encode

    with pytest.raises(ValueError, match="bytes written as zlib"):
        read(tmp_path, {"one": Calls(encode, ("1", "zlib"))})


def test_numpy_never_sees_a_forged_type(tmp_path):
    """Numbers whose type says that they are objects: numpy itself would follow them into foreign memory."""
    from numpy.core.multiarray import _reconstruct

    forged = Calls(np.dtype, ("O", False, True), (3, "|", None, None, None, 8, 8, 0))
    array = Calls(_reconstruct, (np.ndarray, (0,), b"b"), (1, (17,), forged, False, b"A" * 136))
    with pytest.raises(ValueError, match=r"key 'one': found an array \(17,\) of type O, expected a vector of floats"):
        read(tmp_path, {"one": array})


def test_a_forged_shape_of_more_digits_than_python_prints(tmp_path):
    from numpy.core.multiarray import _reconstruct

    array = Calls(_reconstruct, (np.ndarray, (0,), b"b"), (1, (10**5000, 1), np.dtype("f8"), False, b""))
    with pytest.raises(ValueError, match=r"aus\.pkl cannot be read .an array without a shape or type"):
        read(tmp_path, {"one": array})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([VALUES], "holds a list, expected a dict"),
        ({"one": VALUES.tolist()}, "key 'one': found a list, expected a vector of floats"),
        ({"one": VALUES[None]}, r"found an array \(1, 4\) of type f8"),
        ({"one": VALUES.astype(int)}, r"found an array \(4,\) of type i8"),
        ({"one": np.array([None, "x"])}, r"found an array \(2,\) of type O8"),
        ({1: VALUES}, "has a key of type int, expected names of pictures"),
        ({10**5000: VALUES}, "has a key of type int, expected names of pictures"),
        ({"n" * 256: VALUES}, "the name that begins with 'n{30}' has 256 bytes"),
        ({"a\ud800": VALUES}, r"the name that begins with 'a\\ud800' has letters that no file's"),
        (b"", "cannot be read .Ran out of input"),
        (b"no pickle", "cannot be read"),
        (b"\x80\x02}", "cannot be read"),
    ],
)
def test_what_is_not_a_dict_of_vectors(tmp_path, content, reason):
    with pytest.raises(ValueError, match=rf"aus\.pkl.*{reason}"):
        read(tmp_path, content)


def test_a_file_that_is_cut_short_or_damaged_anywhere_is_read_or_refused(tmp_path):
    whole = pickle.dumps({"one": VALUES, "other": VALUES}, 2)
    draw = random.Random(0)
    damaged = [whole[:length] for length in range(len(whole))]
    for _ in range(1000):
        place = draw.randrange(len(whole))
        damaged.append(whole[:place] + bytes([draw.randrange(256)]) + whole[place + 1 :])
    refused = 0
    for content in damaged:
        try:
            read(tmp_path, content)
        except ValueError as error:
            assert "aus.pkl" in str(error)
            refused += 1
    assert len(whole) <= refused < len(damaged)  # a changed number stays a number
