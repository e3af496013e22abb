"""The three packages know nothing of each other, and cost nothing until something of theirs is asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGES = ("translators", "datamodules", "metrics")
FILES = sorted(file for package in PACKAGES for file in (SOURCE / package).rglob("*.py"))
HEAVY = ("torch", "numpy", "pytorch_lightning", "torchvision", "cv2", "albumentations", "wandb", "kornia", "PIL")


def imported(file: Path) -> set[str]:
    """The packages that a file imports anywhere in it, functions included."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; give the package's name"
            names.add(node.module)
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_packages_do_not_import_each_other(file):
    own = file.relative_to(SOURCE).parts[0]
    assert not imported(file) & set(PACKAGES) - {own}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_only_transforms_import_albumentations(file):
    """It looks for a newer version of itself on the network unless told not to; one place tells it."""
    if file.parts[-2:] != ("datamodules", "transforms.py"):
        assert "albumentations" not in imported(file)


def test_the_update_check_is_off_before_albumentations_is_imported():
    lines = (SOURCE / "datamodules" / "transforms.py").read_text().splitlines()
    off = next(number for number, line in enumerate(lines) if "NO_ALBUMENTATIONS_UPDATE" in line)
    first = next(number for number, line in enumerate(lines) if "import albumentations" in line)
    assert off < first


def test_importing_the_packages_loads_nothing_heavy():
    code = f"import sys, {', '.join(PACKAGES)}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_is_this_projects_own(package):
    """Others of these names exist; what is tested must be what lies here."""
    assert Path(importlib.import_module(package).__file__) == SOURCE / package / "__init__.py"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists(package):
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__doc__, f"{package}.{name} has no docstring"
    with pytest.raises(AttributeError, match="nonsense"):
        module.nonsense  # noqa: B018
