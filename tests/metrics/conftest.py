import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from patches import Patches, Shades, train_judge


@pytest.fixture(scope="session")
def judge(tmp_path_factory) -> Path:
    """The checkpoint of a judge that was trained on ``Patches``."""
    return train_judge(tmp_path_factory.mktemp("judge"), Patches())


@pytest.fixture(scope="session")
def shades_judge(tmp_path_factory) -> Path:
    """Likewise of one that was trained on ``Shades``, of intensities."""
    return train_judge(tmp_path_factory.mktemp("shades"), Shades())
