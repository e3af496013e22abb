"""The studies of single papers, on runs whose outcome is known: models that copy."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn
from torch.nn import functional

from datamodules import Shapes, SyntheticAnimals, SyntheticFaces
from metrics import AttributeClassifier
from metrics.functional import change_outside, l1, masked_l1
from translators import ADSPM, LOMIT, SRAGAN, BridgeGAN, GANimation, Target, Translation
from translators.checkpoints import AtomicCheckpointIO

STUDIES = Path(__file__).parents[1] / "experiments" / "studies.py"
SIZES = {"generator_width": 4, "discriminator_width": 4, "blocks": 1, "depth": 2}
DATA = {"train_size": 4, "val_size": 4, "test_size": 10, "batch_size": 4, "num_workers": 0}
IMAGES = 7  # a batch and a part of one


def run_of(folder, model, data, **settings):
    """A run folder as training leaves it, as far as a study reads it; training pictures are blurred."""
    checkpoint = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    AtomicCheckpointIO().save_checkpoint(checkpoint, folder / "checkpoints" / "step-0000001.ckpt")
    blur = {"augment": [{"class_path": "albumentations.Blur"}]}
    section = {"class_path": f"datamodules.{data.__name__}", "init_args": DATA | blur | settings}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": section}))
    opened = data(**DATA | settings)
    opened.setup("test")
    return folder, opened


def pictures_of(data):
    """The images that a study sees, as one batch."""
    batches = list(data.test_dataloader())
    return {name: torch.cat([batch[name] for batch in batches])[:IMAGES] for name in batches[0]}


def judge_of(folder, attributes, **settings):
    torch.manual_seed(0)
    judge = AttributeClassifier(attributes, image_size=64, **settings).eval()
    checkpoint = {"state_dict": judge.state_dict(), "hyper_parameters": dict(judge.hparams)}
    judge.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "judge.ckpt")
    return folder / "judge.ckpt", judge


def study(monkeypatch, name, run, *more):
    monkeypatch.setattr(sys, "argv", ["studies.py", name, str(run), *map(str, more), f"--images={IMAGES}"])
    runpy.run_path(str(STUDIES), run_name="__main__")
    return json.loads((run / f"{name}.json").read_text())


def curvature(image):
    """The sum of the second differences along both axes."""
    return image.diff(n=2, dim=2)[..., 1:-1] + image.diff(n=2, dim=3)[..., 1:-1, :]


def copying(stage, image_size, attributes=("circle",), **settings):
    """An ADSPM whose every motion and mask is 0, but for the masks' upsampling by T_m."""
    model = ADSPM(attributes, stage=stage, image_size=image_size, refine_blocks=1, zero_init=True, **SIZES | settings)
    generator = model.generator["image"]
    nn.init.zeros_(generator.flow_pred[6].weight)
    nn.init.zeros_(generator.refine[-2].weight)  # nothing is painted, whatever the mask
    return model.eval()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("shapes"), copying(1, 64), Shapes, image_size=64)


def test_a_copied_square_has_a_squares_circularity_and_the_truth_has_a_circles(shapes, tmp_path, monkeypatch):
    run, data = shapes
    path, judge = judge_of(tmp_path, ["circle"])
    found = study(monkeypatch, "circularity", run, path)
    for name in ("output", "deformed"):
        assert found[f"circularity_of_circles/{name}"] == pytest.approx(torch.pi / 4, abs=0.03)
        assert found[f"circularity_of_squares/{name}"] == pytest.approx(1, abs=0.03)
    assert found["circularity_of_circles/truth"] == pytest.approx(1, abs=0.03)
    assert found["circularity_of_squares/truth"] == pytest.approx(torch.pi / 4, abs=0.03)
    batch = pictures_of(data)
    right = ((judge.predict(batch["image"]) > 0.5) == batch["label"].bool()).float().mean().item()
    assert found["judge_accuracy_on_real"] == pytest.approx(right)
    assert found["accuracy/deformed"] == pytest.approx(1 - right)
    assert found["colour_error"] < 0.01
    assert found["images"] == IMAGES
    assert found["shapes_gone"] == 0


def test_a_judge_is_asked_for_where_one_is_needed(shapes, monkeypatch):
    with pytest.raises(SystemExit, match="needs a judge's run folder"):
        study(monkeypatch, "circularity", shapes[0])
    assert not (shapes[0] / "strips.json").exists()


def test_a_judge_of_other_attributes_is_refused(shapes, tmp_path, monkeypatch):
    for attributes, settings in ((["square"], {}), (["circle"], {"intensities": True})):
        path, _ = judge_of(tmp_path, attributes, **settings)
        with pytest.raises(
            SystemExit, match=f"tells the .* {attributes[0]}, and the run's data have the attributes circle"
        ):
            study(monkeypatch, "circularity", shapes[0], path)


def test_one_stage_has_nothing_to_be_sharper_than(shapes, monkeypatch):
    with pytest.raises(SystemExit, match="is of one resolution"):
        study(monkeypatch, "sharpness", shapes[0])


def test_motions_of_nothing_add_up_to_nothing(tmp_path, monkeypatch):
    """A model that copies shows each wanted attribute as often as the judge is wrong about the source."""
    attributes = ["Smiling", "Big_Nose", "Arched_Eyebrows"]
    run, data = run_of(
        tmp_path, copying(1, 64, attributes=attributes), SyntheticFaces, attributes=attributes, image_size=64
    )
    path, judge = judge_of(tmp_path, attributes)
    found = study(monkeypatch, "combination", run, path)
    batch = pictures_of(data)
    wrong = ((judge.predict(batch["image"]) > 0.5) != batch["label"].bool()).float().mean(0).tolist()
    for name, expected in zip(attributes, wrong, strict=True):
        assert found[f"alone/{name}"] == found[f"with_another/{name}"] == pytest.approx(expected)
    assert (run / "combination.png").exists()


def test_a_model_without_motions_has_none_to_add(tmp_path, monkeypatch):
    run, _ = run_of(tmp_path, GANimation(["AU4"], image_size=64, **SIZES), SyntheticFaces, attributes=["AU4"])
    with pytest.raises(SystemExit, match="is of GANimation, which moves nothing"):
        study(monkeypatch, "combination", run)


def test_units_that_change_nothing_do_not_grow(tmp_path, monkeypatch):
    units = ["AU4", "AU12"]
    model = GANimation(units, image_size=64, **SIZES)
    nn.init.constant_(model.generator.attetion_reg[0].weight, 0)
    nn.init.constant_(model.generator.img_reg[0].weight, 0)  # half of the picture, half of grey, for every label
    run, data = run_of(tmp_path, model, SyntheticFaces, attributes=units, image_size=64)
    path, judge = judge_of(tmp_path, units, intensities=True)
    found = study(monkeypatch, "strips", run, path)
    assert found["asked"] == [0, 0.25, 0.5, 0.75, 1]
    batch = pictures_of(data)
    masks = [data.counterfactual("test", batch["index"], label)[1] for label in data.edits(batch["label"]).unbind(1)]
    moved = torch.maximum(*masks).mean((1, 2, 3))  # of a flat mask, so much lies there
    assert found["mask_on_parts"] == pytest.approx(moved.mean().item(), rel=1e-4)
    seen = judge.predict(batch["image"] / 2).mean(0).tolist()
    for unit, expected in zip(units, seen, strict=True):
        assert found[unit]["judged"] == pytest.approx([expected] * 5, abs=1e-5)
        assert not found[unit]["monotone_on_average"]
        assert found[unit]["steps_that_grow"] < 0.5  # none but by rounding
    names = {path.name for path in (run / "strips").iterdir()}
    assert names == {f"{unit}{rest}" for unit in units for rest in ("-0.png", "-1.png", "-2.png", ".gif")}


def test_a_stage_that_adds_nothing_is_as_sharp_as_the_picture_it_copies(tmp_path, monkeypatch):
    run, data = run_of(tmp_path, copying(2, 64), Shapes, image_size=64)
    path, judge = judge_of(tmp_path, ["circle"])
    found = study(monkeypatch, "sharpness", run, path)
    batch = pictures_of(data)
    truth, _ = data.counterfactual("test", batch["index"], 1 - batch["label"])
    expected = l1(batch["image"], truth).mean().item()
    assert found["l1/copied"] == pytest.approx(expected, rel=1e-5)
    assert found["l1/high"] == pytest.approx(expected, rel=1e-3)
    bent = [curvature(image) for image in (batch["image"], truth, batch["image"] - truth)]
    details = [each.abs().mean((1, 2, 3)) for each in bent]
    assert found["detail/high"] == pytest.approx((details[0] / details[1]).mean().item(), rel=1e-3)
    assert found["detail_error/high"] == pytest.approx((details[2] / details[1]).mean().item(), rel=1e-3)
    assert found["edits"] == IMAGES
    assert found["detail/low"] < found["detail/high"]
    right = ((judge.predict(batch["image"]) > 0.5) == batch["label"].bool()).float().mean().item()
    assert found["accuracy/copied"] == pytest.approx(1 - right)
    assert "l1/before" not in found


@pytest.mark.parametrize("stage", [2, 3])
def test_a_stage_is_measured_beside_the_run_that_it_started_from(stage, tmp_path, monkeypatch):
    """First stage beside first stage: an untrained one, and one that copies. Without a judge there is no accuracy."""
    torch.manual_seed(0)
    untrained = ADSPM(["circle"], stage=stage - 1, image_size=32, refine_blocks=1, **SIZES).eval()
    lower, _ = run_of(tmp_path / "lower", untrained, Shapes, image_size=32)
    run, data = run_of(tmp_path / "upper", copying(stage, 64), Shapes, image_size=64)
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"model": {"init_args": {"start": str(lower)}}}))
    found = study(monkeypatch, "sharpness", run)
    batch = pictures_of(data)
    wanted = 1 - batch["label"]
    truth, _ = data.counterfactual("test", batch["index"], wanted)
    halved, least = (
        functional.interpolate(batch["image"], (side, side), mode="bilinear", align_corners=True)
        for side in (32, 64 >> (stage - 1))
    )
    with torch.no_grad():
        scenes = untrained.generator["image"](halved, wanted)
    for name, picture in (("before", scenes[0].output), ("low", least)):
        shown = functional.interpolate(picture, (64, 64), mode="bicubic", align_corners=True).clamp(-1, 1)
        assert found[f"l1/{name}"] == pytest.approx(l1(shown, truth).mean().item(), rel=1e-4)
    assert not any(name.startswith("accuracy") for name in found)


HAIR = ["Black_Hair", "Blond_Hair", "Mustache"]


def grey_of(model, last):
    """The model, which paints everything grey."""
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return model.eval()


def mean_colour(image, mask):
    return torch.stack([row[:, inside[0] == 1].mean(1) for row, inside in zip(image, mask, strict=True)])


def regions(data, index, attributes):
    """Where edits of any of these attributes change a test picture."""
    label = data.samples("test").labels[index]
    edits = data.edits(label).unbind(1)
    masks = [data.counterfactual("test", index, edits[attribute])[1] for attribute in attributes]
    return torch.stack(masks).amax(0)


def differing(batch, columns=slice(None)):
    return (batch["label"] != batch["reference_label"])[:, columns]


def shares(right, counted):
    """The mean over the rows that have any of the share of those counted that are right."""
    rows = [r[c].float().mean().item() for r, c in zip(right, counted, strict=True) if c.any()]
    return sum(rows) / len(rows)


def by_its_colour(judge, image):
    """In place of what a judge sees: attribute by attribute, whether a channel is brighter than most faces are."""
    return (image.mean((2, 3)) > image.new_tensor([0.2, 0.13, 0.15])).float()


def test_a_face_that_turned_grey_has_nobodys_hair(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = LOMIT(HAIR, image_size=64, mlp_dim=8, **SIZES)
    run, data = run_of(
        tmp_path,
        grey_of(model, model.generator["decoder"].main[-1].conv),
        SyntheticFaces,
        attributes=HAIR,
        image_size=64,
    )
    path, judge = judge_of(tmp_path, HAIR)
    found = study(monkeypatch, "exemplars", run, path)
    batch = pictures_of(data)
    grey = torch.zeros_like(batch["image"])
    anywhere = regions(data, batch["index"], range(3))
    expected = change_outside(batch["image"], grey, anywhere).mean().item()
    assert found["background"] == found["background_masks_of_one"] == pytest.approx(expected, rel=1e-5)
    hair, theirs = (
        regions(data, batch[name], range(2)) * (1 - regions(data, batch[name], [2]))
        for name in ("index", "reference_index")
    )
    goal = mean_colour(batch["reference"], theirs)
    assert found["hair_colour"] == pytest.approx(goal.abs().mean().item() / 2, rel=1e-4)
    copied = (mean_colour(batch["image"], hair) - goal).abs().mean().item() / 2
    assert found["hair_colour_copied"] == pytest.approx(copied, rel=1e-4)
    seen = judge.predict(grey) > 0.5
    right = (seen == batch["reference_label"].bool()).float().mean().item()
    assert found["attributes"] == pytest.approx(right, abs=1e-6)
    assert found["hair_colour_shuffled"] == pytest.approx(found["hair_colour"], rel=1e-4)  # as far from grey
    changed = shares(seen.expand(IMAGES, -1) == batch["reference_label"].bool(), differing(batch))
    assert found["changed"] == pytest.approx(changed, abs=1e-6)
    with Image.open(run / "exemplars.png") as sheet:  # 7 columns of 128 and a gap of 2, rows of 32 and 128
        assert sheet.size == (7 * 130 - 2, 160 * min(8, len(next(iter(data.test_dataloader()))["image"])))
        assert sheet.crop((260, 32, 388, 160)).getextrema() == ((128, 128),) * 3
        shown = sheet.crop((130, 32, 258, 160)).resize((8, 8), Image.Resampling.BOX)
    parts = functional.adaptive_avg_pool2d((batch["reference"][:1] + 1) * 127.5, 8)[0].permute(1, 2, 0).flatten()
    assert list(shown.tobytes()) == pytest.approx(parts.tolist(), abs=3)


def test_what_edited_masks_let_through_is_what_they_say(tmp_path, monkeypatch):
    """A model that fills its mask, half of everything, with the exemplar's mean colour under the exemplar's mask."""

    exemplar_masks = []

    def filled(self, image, target, mask=None, exemplar_mask=torch.ones_like):
        mask = torch.full_like(image[:, :1], 0.5) if mask is None else mask
        exemplar_masks.append(exemplar_mask)
        masks = [one(image[:, :1]) if callable(one) else one for one in (mask, exemplar_mask)]
        colour = mean_colour(target.reference, masks[1])[:, :, None, None]
        return Translation(
            masks[0] * colour + (1 - masks[0]) * image, extras={"exemplar_mask": masks[1]}, mask=masks[0]
        )

    monkeypatch.setattr(LOMIT, "translate", filled)
    monkeypatch.setattr(AttributeClassifier, "predict", by_its_colour)
    run, data = run_of(
        tmp_path, LOMIT(HAIR, image_size=64, mlp_dim=8, **SIZES), SyntheticFaces, attributes=HAIR, image_size=64
    )
    found = study(monkeypatch, "exemplars", run, judge_of(tmp_path, HAIR)[0])
    batch = pictures_of(data)
    near = []
    for name in ("index", "reference_index"):
        beard = regions(data, batch[name], [2])
        hair = (regions(data, batch[name], range(2)) * (1 - beard)).numpy()
        wide = np.stack([cv2.dilate(mask[0], np.ones((9, 9)))[None] for mask in hair])  # a sixteenth of 64 around it
        near.append(torch.from_numpy(wide) * (1 - beard))
    target = Target(reference=batch["reference"])
    for name, masks in {"hair_alone": near, "without_hair": [1 - mask for mask in near]}.items():
        right = by_its_colour(None, filled(None, batch["image"], target, *masks).image) == batch["reference_label"]
        for group, columns in (("hair", [0, 1]), ("others", [2])):
            expected = shares(right[:, columns], differing(batch, columns))
            assert found[f"{name}/{group}"] == pytest.approx(expected, abs=1e-6)
    taken = [mask for mask in exemplar_masks if isinstance(mask, torch.Tensor)][:4]  # a batch of 4, one of 3
    assert all(
        torch.equal(mask, one)
        for mask, one in zip(taken, (1 - near[1][:4], near[1][:4], 1 - near[1][4:], near[1][4:]), strict=True)
    )
    for group in ("hair", "others"):
        assert found[f"hair_alone/{group}"] != found[f"without_hair/{group}"]  # or nothing would be told apart
    anywhere = regions(data, batch["index"], range(3))
    whole = filled(None, batch["image"], target, torch.ones_like).image
    for name, picture in (("background_masks_of_one", whole), ("background", (whole + batch["image"]) / 2)):
        expected = change_outside(batch["image"], picture, anywhere).mean().item()
        assert found[name] == pytest.approx(expected, rel=1e-5)
    hair = near_or_in(data, batch["index"])
    goal = mean_colour(batch["reference"], near_or_in(data, batch["reference_index"]))
    others = torch.cat([goal[:4].roll(1, 0), goal[4:].roll(1, 0)])  # a batch of 4, one of 3
    output = mean_colour((whole + batch["image"]) / 2, hair)
    for name, colours in (("", goal), ("_shuffled", others)):
        expected = (output - colours).abs().mean(1).nanmean().item() / 2
        assert found[f"hair_colour{name}"] == pytest.approx(expected, rel=1e-4)


def near_or_in(data, index):
    """Where hair is and no beard."""
    return regions(data, index, range(2)) * (1 - regions(data, index, [2]))


def test_whose_picture_is_a_reference():
    who_shows = runpy.run_path(str(STUDIES))["_who_shows"]
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 1]])
    wanted, draw = torch.tensor([[1.0, 1, 0], [0, 0, 1], [0, 1, 1]]), torch.Generator().manual_seed(0)
    assert who_shows(labels, wanted, range(3), draw).tolist() == [2, -1, 3]
    drawn = torch.stack([who_shows(labels, wanted, [0], draw) for _ in range(50)])
    assert [set(column.tolist()) for column in drawn.T] == [{0, 2}, {1, 3}, {1, 3}]


def test_grey_pictures_know_neither_noise_nor_reference(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = BridgeGAN(HAIR, image_size=64, generator_width=4, code_width=4, spade_width=8, discriminator_width=4)
    run, data = run_of(
        tmp_path, grey_of(model, model.generator["synthesis"].head[1]), SyntheticFaces, attributes=HAIR, image_size=64
    )
    path, judge = judge_of(tmp_path, HAIR)
    found = study(monkeypatch, "modes", run, path)
    batch = pictures_of(data)
    assert found["diversity"] == found["diversity_of_references"] == 0
    seen = (judge.predict(torch.zeros(1, 3, 64, 64)) > 0.5)[0]
    right = []
    for attribute, wanted in enumerate(data.edits(batch["label"]).unbind(1)):
        asked = (wanted != batch["label"]).any(1)
        right.append((wanted[asked, attribute].bool() == seen[attribute]).float())
    kept = []
    for wanted in data.edits(batch["label"]).unbind(1):
        asked = (wanted != batch["label"]).any(1)
        right_there, same = wanted[asked] == seen.float(), (wanted == batch["label"])[asked]
        kept += [row[others] for row, others in zip(right_there, same, strict=True)]
    for mode in ("label", "reference"):
        assert found[f"{mode}/accuracy"] == pytest.approx(torch.cat(right).mean().item())
        assert found[f"{mode}/kept"] == pytest.approx(np.mean([row.float().mean().item() for row in kept if len(row)]))
    assert found["closeness"] == pytest.approx(found["closeness_shuffled"])  # grey is as far from one as from another
    with Image.open(run / "modes.png") as sheet:  # 8 columns of 128 and a gap of 2, rows of 32 and 128
        wanted = data.edits(batch["label"][:2])
        assert sheet.size == (8 * 130 - 2, 160 * int((wanted != batch["label"][:2, None]).any(2).sum()))
        assert sheet.crop((130, 32, 258, 160)).getextrema() == ((128, 128),) * 3
        assert sheet.crop((0, 32, 128, 160)).getextrema() != sheet.crop((910, 32, 1038, 160)).getextrema()


def test_a_model_that_returns_its_reference_is_as_close_to_it_as_can_be(tmp_path, monkeypatch):
    """And if noise is the brightness of its picture, results are as far apart as noises."""

    def returned(self, image, target, mix=0.0):
        if target.reference is not None:
            return Translation(target.reference)
        return Translation(target.latent[:, :1, None, None].clamp(-1, 1).expand_as(image))

    animals = ["cat", "dog", "wild"]
    monkeypatch.setattr(BridgeGAN, "translate", returned)
    model = BridgeGAN(
        animals, one_hot=True, image_size=32, generator_width=4, code_width=4, spade_width=8, discriminator_width=4
    )
    run, _ = run_of(tmp_path, model, SyntheticAnimals, domains=animals, image_size=32)
    monkeypatch.setattr(AttributeClassifier, "predict", lambda judge, image: torch.ones(len(image), 3) / 3)
    found = study(monkeypatch, "modes", run, judge_of(tmp_path, animals, one_hot=True)[0])
    assert found["closeness"] == 0
    assert found["closeness_shuffled"] == pytest.approx(found["closeness_of_references"])
    assert found["closeness_of_references"] > 0
    draw = torch.Generator().manual_seed(1)
    noise = torch.randn(100_000, 2, generator=draw).clamp(-1, 1)
    assert found["diversity"] == pytest.approx((noise[:, 0] - noise[:, 1]).abs().mean().item() / 2, rel=0.25)


def test_a_hairs_colour_is_compared_though_the_reference_has_it_already(tmp_path, monkeypatch):
    """Of black hair and blond alone: every reference shows what is asked for, and an edit of it changes nothing."""
    torch.manual_seed(0)
    model = BridgeGAN(HAIR[:2], image_size=64, generator_width=4, code_width=4, spade_width=8, discriminator_width=4)
    last = model.generator["synthesis"].head[1]
    run, _ = run_of(tmp_path, grey_of(model, last), SyntheticFaces, attributes=HAIR[:2], image_size=64)
    path, _ = judge_of(tmp_path, HAIR[:2])
    found = study(monkeypatch, "modes", run, path)
    assert 0 < found["closeness"] < 1


def test_the_look_of_exemplars_needs_data_whose_edits_are_known(tmp_path, monkeypatch):
    model = LOMIT(["cat", "dog"], one_hot=True, image_size=32, mlp_dim=8, **SIZES)
    run, _ = run_of(tmp_path, model, SyntheticAnimals, domains=["cat", "dog"], image_size=32)
    with pytest.raises(SystemExit, match="of SyntheticAnimals nobody knows what an edit should change"):
        study(monkeypatch, "exemplars", run)


def with_a_map_of(value, names, **settings):
    """A SRAGAN whose map is flat."""
    torch.manual_seed(0)
    model = SRAGAN(names, image_size=32, vgg="random", vgg_width=2, **SIZES, **settings).eval()
    model.attends.fill_(True)
    last = model.generator["attention"].head[-2]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, np.log(value / (1 - value)) if 0 < value < 1 else 200 * value - 100)
    return model


@pytest.mark.parametrize("value", [0, 0.4, 0.8, 1])
def test_a_flat_map_spares_as_much_as_it_says(tmp_path, monkeypatch, value):
    model = with_a_map_of(value, ["Eyeglasses"])
    run, data = run_of(tmp_path, model, SyntheticFaces, attributes=["Eyeglasses"], image_size=32)
    found = study(monkeypatch, "attention", run)
    batch = pictures_of(data)
    bare = batch["label"][:, 0] == 0
    image = batch["image"][bare]
    truth, where = data.counterfactual("test", batch["index"][bare], torch.ones(len(image), 1))
    assert 0 < where.mean() < 1
    with torch.no_grad():
        initial = model.generator["initial"](image)
    shown = {"initial": initial, "composite": value * initial + (1 - value) * image}
    expected = {f"change/{name}": l1(image, picture) for name, picture in shown.items()}
    expected |= {f"outside/{name}": change_outside(image, picture, where) for name, picture in shown.items()}
    expected |= {f"inside_error/{name}": masked_l1(picture, truth, where) for name, picture in shown.items()}
    expected["inside_error/copied"] = masked_l1(image, truth, where)
    share = where.mean((1, 2, 3))
    expected |= {"map": torch.tensor([value * 1.0]), "map_greatest": torch.tensor([value * 1.0])}
    expected |= {"iou_constant": share, "segmentation_iou": share * (value > 0.5)}
    expected["iou"] = share * value / (share + value * (1 - share))  # the sum of the lesser over that of the greater
    context = {"judge", "checkpoint", "commit", "first_images"}
    assert {name: number for name, number in found.items() if name not in context} == pytest.approx(
        {name: values.mean().item() for name, values in expected.items()}, rel=1e-4, abs=1e-6
    )


def test_where_nobody_knows_the_edit_the_map_alone_is_told(tmp_path, monkeypatch):
    model = with_a_map_of(0.4, ["cat", "dog"], one_hot=True)
    run, _ = run_of(tmp_path, model, SyntheticAnimals, domains=["cat", "dog"], image_size=32)
    found = study(monkeypatch, "attention", run)
    assert [found["map"], found["map_greatest"]] == pytest.approx([0.4, 0.4])
    assert found["change/composite"] == pytest.approx(0.4 * found["change/initial"], rel=1e-4)
    assert not any(name.startswith(("outside", "inside", "iou")) for name in found)


def test_a_map_is_not_judged(tmp_path, monkeypatch):
    run, _ = run_of(
        tmp_path, with_a_map_of(1, ["Eyeglasses"]), SyntheticFaces, attributes=["Eyeglasses"], image_size=32
    )
    with pytest.raises(SystemExit, match=r"nothing here is judged: leave .*judge\.ckpt out"):
        study(monkeypatch, "attention", run, judge_of(tmp_path, ["Eyeglasses"])[0])


@pytest.mark.parametrize(
    ("name", "told"), [("exemplars", "masks of LOMIT"), ("modes", "modes of BridgeGAN"), ("attention", "map of SRAGAN")]
)
def test_a_study_of_another_model_is_refused(shapes, name, told, monkeypatch):
    with pytest.raises(SystemExit, match=told):
        study(monkeypatch, name, shapes[0])
