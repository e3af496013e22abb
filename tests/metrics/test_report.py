import json
import subprocess
from pathlib import Path

import pytest

import metrics.report
from metrics.report import finite, write_report


def test_written_sorted_and_whole_in_place_of_the_earlier_one(tmp_path):
    folder = tmp_path / "new" / "folder"
    write_report(folder, {"a": 1.0}, {})
    path = write_report(folder, {"b": 0.25, "a": 0.5}, {"seed": 3})
    assert json.loads(path.read_text()) == {"context": {"seed": 3}, "metrics": {"a": 0.5, "b": 0.25}}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    assert [file.name for file in folder.iterdir()] == ["metrics.json"]


def test_a_number_that_is_none_is_refused_and_the_earlier_file_stays(tmp_path):
    path = write_report(tmp_path, {"a": 1.0}, {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path, {"a": float("nan")}, {})
    assert json.loads(path.read_text())["metrics"] == {"a": 1.0}


def test_what_is_not_finite_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match=r"left out: bad, worse"):
        assert finite({"good": 1.0, "bad": float("nan"), "worse": float("inf")}) == {"good": 1.0}


def test_the_commit_is_gits(monkeypatch):
    folder = Path(metrics.report.__file__).parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert metrics.report._commit() == (described.stdout.strip() if described.returncode == 0 else None)
    monkeypatch.setenv("PATH", "")
    assert metrics.report._commit() is None


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        ({"commit": "a"}, "a"),
        ({"commit": "a", "resumed": [{"commit": "a"}, {"commit": "b"}]}, "a, b"),
        ({"commit": None}, None),
    ],
)
def test_all_commits_that_trained_are_named(noted, said, tmp_path):
    (tmp_path / "version.json").write_text(json.dumps(noted))
    assert metrics.report._trained_by(tmp_path) == said
