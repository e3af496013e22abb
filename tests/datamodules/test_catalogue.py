"""The pages say what the recipes and the readers do."""

import importlib
from pathlib import Path

import pytest
import yaml

from datamodules import AFHQ
from datamodules.catalogue import CATALOGUE, missing, pages
from datamodules.labels import EXPRESSIONS, OPENFACE_UNITS

PROJECT = Path(__file__).parents[2]
RECIPES = sorted((PROJECT / "experiments" / "data").glob("*.yaml"))


def datamodule(recipe: Path):
    package, _, name = yaml.safe_load(recipe.read_text())["data"]["class_path"].rpartition(".")
    return getattr(importlib.import_module(package), name)


def test_the_page_is_what_the_catalogue_says():
    assert (PROJECT / "docs" / "datasets.md").read_text() == pages()


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_stand_in_is_a_recipe_that_needs_no_download(key):
    recipe = PROJECT / "experiments" / "data" / f"{CATALOGUE[key].stand_in}.yaml"
    assert datamodule(recipe).entry is None


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_public_dataset_has_a_page(recipe):
    assert datamodule(recipe).entry in {None, *CATALOGUE}


def test_every_page_has_a_recipe():
    assert {datamodule(recipe).entry for recipe in RECIPES} - {None} == set(CATALOGUE)


@pytest.mark.parametrize("key", CATALOGUE)
def test_what_it_says_to_make_can_be_made(key):
    command = CATALOGUE[key].download
    if command.startswith("make"):
        recipe = PROJECT / "experiments" / "data" / f"{command.removeprefix('make data DATA=')}.yaml"
        assert datamodule(recipe).entry == key


@pytest.mark.parametrize("name", ["celeba", "rafd", "afhq", "emotionet"])
def test_the_stand_in_has_the_labels_of_the_real_one(name):
    """Written in the two recipes, or else the names that the classes have."""
    words = {"rafd": EXPRESSIONS, "afhq": AFHQ.published, "emotionet": OPENFACE_UNITS}
    real, drawn = (
        yaml.safe_load((PROJECT / "experiments" / "data" / f"{recipe}.yaml").read_text())["data"]["init_args"]
        for recipe in (name, f"synthetic-{name}")
    )
    model = datamodule(PROJECT / "experiments" / "data" / f"synthetic-{name}.yaml")(**drawn)
    assert model.attributes == tuple(real.get("attributes", words.get(name)))
    assert model.image_size == real.get("image_size", 128)


def test_checksums_are_those_of_torchvision():
    from torchvision.datasets import MNIST, USPS, CelebA

    published = {name: md5 for _, md5, name in CelebA.file_list} | dict(MNIST.resources)
    published |= {name: md5 for _, name, md5 in USPS.split_list.values()}
    ours = {name: md5 for entry in CATALOGUE.values() for name, md5 in entry.checksums}
    assert ours.items() <= published.items()
    assert len(ours) == 10


@pytest.mark.parametrize("key", CATALOGUE)
def test_the_short_form_says_what_where_from_and_what_else(key):
    text, entry = str(missing(key, Path("data/here"), "it is not there")), CATALOGUE[key]
    for words in ("it is not there", entry.title, entry.licence, "data/here", f"DATA={entry.stand_in}"):
        assert words in text
    assert f"to get it: {entry.download}" in text if entry.download else f"to ask for it: {entry.source}" in text
