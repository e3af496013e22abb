"""Arrays of numbers out of a pickle, without doing anything else that the pickle says."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from datamodules.tables import file_name

# What `Unpickler.load` raises on files that are cut short, or no pickles at all.
OUTSIZE = (MemoryError, OverflowError)
BROKEN = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, *OUTSIZE)
FLOATS = {"f4": "f", "f8": "d"}  # numpy's names, and those of the struct module


def pickled_vectors(path: Path) -> Iterator[tuple[bytes, tuple[float, ...]]]:
    """The entries of a pickled dict from names to vectors of floats, one by one, in its order.

    A pickle is a program. Of the functions that it may name, those that make numpy arrays are replaced by stand-ins
    which only note their arguments (numpy's own can be made to read foreign memory), and all others are refused: no
    code of the file's choice runs. The dict is in memory as a whole meanwhile, some 1 GB for a million vectors of 17.

    Yields:
        A name (bytes, as the file system has it) and its values.
    Raises:
        ValueError: naming the file, and what it asks for or the key that is no vector of floats.
    """
    try:
        with path.open("rb") as file:
            entries = _ArraysOnly(file, encoding="bytes").load()  # bytes: what Python 2 wrote is in no known encoding
    except BROKEN as error:
        raise ValueError(
            f"{path} cannot be read ({error or type(error).__name__}); expected a pickled dict of numpy arrays"
        ) from error
    if type(entries) is not dict:
        raise ValueError(f"{path} holds a {type(entries).__name__}, expected a dict from names to numpy arrays")
    for key, value in entries.items():
        if not isinstance(key, str | bytes):
            raise ValueError(f"{path} has a key of type {type(key).__name__}, expected names of pictures")
        yield file_name(key, str(path)), _floats(path, key, value)


def _floats(path: Path, key: str | bytes, value: Any) -> tuple[float, ...]:
    found = f"a {type(value).__name__}"
    if isinstance(value, _Array):
        if value.dtype.code in FLOATS and len(value.shape) == 1:
            return struct.unpack(f"{value.dtype.order}{value.shape[0]}{FLOATS[value.dtype.code]}", value.data)
        found = f"an array {value.shape} of type {value.dtype.code}"
    raise ValueError(f"{path}, key {os.fsdecode(key)!r}: found {found}, expected a vector of floats (f4 or f8)")


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


class _Dtype:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        self.code, self.order = _text(code), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {">": ">"}.get(_text(state[1]), "<")


_FLOAT64 = _Dtype("f8")


class _Array:
    """Stands in for ``numpy.ndarray`` and the function that makes an empty one; its state then fills it."""

    __slots__ = ("data", "dtype", "shape")

    def __init__(self, *_: Any) -> None:
        self.shape, self.dtype, self.data = (0,), _FLOAT64, b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, _, data = state
        self._fill(shape, dtype, data)

    @classmethod
    def from_buffer(cls, data: Any, dtype: Any, shape: Any, _: Any) -> _Array:
        """As pickles of protocol 5 make an array."""
        array = cls()
        array._fill(shape, dtype, data)
        return array

    def _fill(self, shape: Any, dtype: Any, data: Any) -> None:
        if (
            type(shape) is not tuple
            or not all(type(side) is int and 0 <= side < 1 << 63 for side in shape)
            or type(dtype) is not _Dtype
        ):
            raise ValueError("an array without a shape or type")
        if dtype.code in FLOATS and not isinstance(data, bytes | bytearray):
            raise ValueError("an array of floats that are no bytes")
        if dtype.code in FLOATS and len(shape) == 1 and len(data) != shape[0] * int(dtype.code[1]):
            raise ValueError(f"an array of {shape[0]} numbers in {len(data)} bytes")
        self.shape, self.dtype, self.data = shape, dtype, data


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for ``_codecs.encode``, by which Python 3 writes bytes in old protocols."""
    if encoding != "latin1":
        raise ValueError(f"bytes written as {encoding}")
    return text.encode("latin1")


STAND_INS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.numeric._frombuffer": _Array.from_buffer,
    "numpy._core.numeric._frombuffer": _Array.from_buffer,
    "_codecs.encode": _encode,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if f"{module}.{name}" not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain arrays do not need")
        return STAND_INS[f"{module}.{name}"]
