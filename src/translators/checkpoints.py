"""Checkpoints that are whole or not there at all, and that run no code when they are read."""

from __future__ import annotations

import errno
import os
import pickle
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the final name, flushes to disk, checks every record's CRC, then renames; reads with `read`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write one checkpoint, atomically.

        Raises:
            OSError: if it could not be written whole (a full disk, say). The file of that name, if any, is untouched.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            with zipfile.ZipFile(unfinished) as archive:
                if archive.testzip() is not None:
                    raise OSError(errno.EIO, "what was written does not read back the same; check the disk", str(path))
            Path(unfinished).chmod(0o644)
            Path(unfinished).replace(path)
        except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as a RuntimeError
            if _disk_is_full(error, path.parent):
                raise OSError(
                    errno.ENOSPC,
                    "the disk is full: this checkpoint was not written, the earlier ones are intact; "
                    "free some space and resume from the newest of them",
                    str(path),
                ) from error
            raise
        finally:
            Path(unfinished).unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """`read`, whatever was asked for: nothing but tensors and plain values is ever unpickled."""
        return read(path, map_location)


def _disk_is_full(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error.__context__, OSError):
        return _disk_is_full(error.__context__, folder)
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize < 2**20


def read(path: str | os.PathLike[str], map_location: Any = None) -> dict[str, Any]:
    """Read a checkpoint of this project.

    Args:
        path: a file, as written by `AtomicCheckpointIO`.
        map_location: where the tensors go; the CPU if not given.
    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is cut short, damaged (CRC), no checkpoint, or holds anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: expected a run folder or a file step-….ckpt in one")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is cut short or is no checkpoint; take an earlier one")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); take an earlier checkpoint") from error
    if damaged is not None:
        raise ValueError(f"{path} is damaged: its record {damaged!r} fails the CRC check; take an earlier checkpoint")
    try:
        checkpoint = torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds Python objects other than tensors and plain values; it was refused and nothing in it was run"
        ) from error
    except RuntimeError as error:
        raise ValueError(f"{path} is a zip archive but no checkpoint of PyTorch: {error}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(
            f"{path} is no training checkpoint: it has no 'state_dict' (translators.official reads authors' files)"
        )
    return checkpoint


def newest(folder: str | os.PathLike[str]) -> Path:
    """The intact checkpoint of the highest step in a run folder.

    Raises:
        FileNotFoundError: if the folder has no intact checkpoint; damaged ones are named.
    """
    folder = Path(folder)
    files = [*folder.glob("step-*.ckpt"), *folder.glob("checkpoints/step-*.ckpt")]  # no deeper: another run's
    numbered = {int(found[1]): path for path in files if (found := re.search(r"step-(\d+)", path.name))}
    refused = []
    for step in sorted(numbered, reverse=True):
        try:
            read(numbered[step])
        except ValueError as error:
            refused.append(str(error))
        else:
            return numbered[step]
    raise FileNotFoundError(
        f"no intact checkpoint (step-*.ckpt) in {folder}" + "".join(f"\n  {reason}" for reason in refused)
    )


def resolve(path: str | os.PathLike[str]) -> Path:
    """A checkpoint's path: itself, or for a run folder its newest intact one."""
    return newest(path) if Path(path).is_dir() else Path(path)
