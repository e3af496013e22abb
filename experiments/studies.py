"""What only one paper asks about, measured on a finished run; writes ``<study>.json`` into the run folder.

python experiments/studies.py circularity RUN JUDGE    ADSPM, fig. 3: does the motion alone turn squares into circles?
python experiments/studies.py combination RUN JUDGE    ADSPM, figs. 7 and 13: do the motions of two attributes add up?
python experiments/studies.py strips RUN JUDGE         GANimation, sect. 6.1: does a unit grow as it is asked to?
python experiments/studies.py sharpness RUN [JUDGE]    ADSPM, sect. 3.3: what does a higher stage add?
python experiments/studies.py exemplars RUN JUDGE      LOMIT: is it the exemplar's look, and only where the masks say?
python experiments/studies.py modes RUN JUDGE          BridgeGAN: what do noise, and references, decide?
python experiments/studies.py attention RUN            SRAGAN: what does the map spare, and what does it cut out?
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.nn import functional

from datamodules.recipes import class_of, data_section
from datamodules.transforms import to_tensor
from metrics import AttributeClassifier
from metrics.attributes import correct
from metrics.functional import change_outside, circularity, coverage, l1, masked_l1, share_inside, soft_iou, ssim
from metrics.report import COMMIT
from translators import ADSPM, LOMIT, SRAGAN, BridgeGAN, Target, Translator, checkpoints
from translators.animation import pictures, save_gif, save_png, strip, sweep
from translators.bridgegan import LATENT

Found = dict[str, Any]


def data_of(run: Path) -> Any:
    """The datamodule of a run, ready to test."""
    section = data_section(run / "config.yaml")
    settings = {**section["init_args"], "num_workers": 0}
    settings.pop("augment", None)  # of training pictures alone
    data = class_of(section)(**settings)
    data.setup("test")
    return data


def first(data: Any, images: int) -> Iterator[dict[str, Tensor]]:
    """So many test images, in batches."""
    left = images
    for batch in data.test_dataloader():
        if left <= 0:
            return
        yield {name: tensor[:left] for name, tensor in batch.items()}
        left -= len(batch["image"])


def study_circularity(run: Path, judge: Path | None, images: int) -> Found:
    """Of shapes turned into the other: circularity (circle 1, square pi/4), judged accuracy, error of the colour."""
    model, data = Translator.load(str(run)), data_of(run)
    classifier = _judge(judge, data)
    figures: dict[str, list[Tensor]] = defaultdict(list)
    for batch in first(data, images):
        wanted = 1 - batch["label"]
        translation = model(batch["image"], Target(label=wanted))
        truth, _ = data.counterfactual("test", batch["index"], wanted)
        background, colour = _colours(batch["image"], data.mask("test", batch["index"]))
        shown = {"truth": truth, "output": translation.image}
        if "deformed" in translation.extras:
            shown["deformed"] = translation.extras["deformed"]
        for name, image in shown.items():
            roundness = circularity(coverage(image, background, colour))
            for kind, value in (("circles", 1), ("squares", 0)):
                rows = wanted[:, 0] == value
                figures[f"circularity_of_{kind}/{name}"].append(roundness[rows])
            right = (classifier.predict(image) > 0.5) == (wanted > 0.5)
            figures[f"accuracy/{name}"].append(right[:, 0].float())
        figures["judge_accuracy_on_real"].append(
            ((classifier.predict(batch["image"]) > 0.5) == (batch["label"] > 0.5))[:, 0].float()
        )
        _, found_colour = _colours(translation.image, data.mask("test", batch["index"]))
        figures["colour_error"].append((found_colour - colour).abs().mean(1) / 2)
    gone = torch.cat(figures["circularity_of_circles/output"] + figures["circularity_of_squares/output"]).isnan()
    means = {name: float(torch.cat(values).nanmean()) for name, values in figures.items()}
    return {"images": len(gone), "shapes_gone": int(gone.sum()), **means}


def _colours(image: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3) each, medians: of the pixels around the figure, and of those within it; none of its edge's."""
    inner = -functional.max_pool2d(-inside, 3, 1, 1) > 0.5
    outer = functional.max_pool2d(inside, 3, 1, 1) < 0.5
    return _median(image, outer), _median(image, inner)


def _median(image: Tensor, where: Tensor) -> Tensor:
    of_nothing = image.new_full((), torch.nan)
    return torch.where(where, image, of_nothing).flatten(2).nanmedian(dim=2).values


def study_combination(run: Path, judge: Path | None, images: int) -> Found:
    """Each attribute's edit by motion alone, and added to that of every other one: how often the judge sees it."""
    model, data = Translator.load(str(run)), data_of(run)
    if not isinstance(model, ADSPM):
        raise SystemExit(f"{run} is of {type(model).__name__}, which moves nothing: this study adds motions of ADSPM")
    classifier = _judge(judge, data)
    figures: dict[str, list[Tensor]] = defaultdict(list)
    for batch in first(data, images):
        edits = data.edits(batch["label"]).unbind(1)
        for kind, count in (("alone", 1), ("with_another", 2)):
            for attributes in combinations(range(len(edits)), count):
                moved = model.combine(batch["image"], [edits[attribute] for attribute in attributes]).image
                seen = classifier.predict(moved) > 0.5
                for attribute in attributes:
                    right = seen[:, attribute] == edits[attribute][:, attribute].bool()
                    figures[f"{kind}/{model.attributes[attribute]}"].append(right.float())
    _draw_combinations(run, model, data)
    return {name: float(torch.cat(values).mean()) for name, values in figures.items()}


def _draw_combinations(run: Path, model: ADSPM, data: Any, faces: int = 6) -> None:
    """A row a face: itself, each attribute by motion alone, and all of these motions at once."""
    batch = next(iter(data.test_dataloader()))
    image, edits = batch["image"][:faces], data.edits(batch["label"][:faces]).unbind(1)
    moved = [model.combine(image, [label]).image for label in edits]
    columns = [pictures(shown) for shown in (image, *moved, model.combine(image, edits).image)]
    captions = ["source", *(name.replace("_", " ") for name in model.attributes), "all of these"]
    save_png(_stacked([strip(row, captions) for row in zip(*columns, strict=True)]), run / "combination.png")


def _stacked(rows: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size, one below the other."""
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for place, row in enumerate(rows):
        sheet.paste(row, (0, place * row.height))
    return sheet


def study_strips(run: Path, judge: Path | None, images: int, frames: int = 5) -> Found:
    """Each unit of each face from 0 to 1: what the judge sees, and how often it grows from every frame to the next.

    ``mask_on_parts`` is the share of the edits' masks that lies on what any of the units moves in that face.
    """
    model, data = Translator.load(str(run)), data_of(run)
    classifier = _judge(judge, data)
    seen: dict[str, list[Tensor]] = defaultdict(list)
    on_parts = []
    for batch in first(data, images):
        edits = data.edits(batch["label"]).unbind(1)
        parts = torch.stack([data.counterfactual("test", batch["index"], label)[1] for label in edits]).amax(0)
        for label in edits:
            mask = model(batch["image"], Target(label=label)).mask
            assert mask is not None
            on_parts.append(share_inside(mask, parts))
        for unit, name in enumerate(model.attributes):
            labels = torch.stack([sweep(label, unit, frames) for label in batch["label"]])  # (B, T, K)
            steps = [
                classifier.predict(model(batch["image"], Target(label=label)).image)[:, unit]
                for label in labels.unbind(1)
            ]
            seen[name].append(torch.stack(steps, dim=1))
    found: Found = {
        "images": sum(map(len, next(iter(seen.values())))),
        "mask_on_parts": float(torch.cat(on_parts).nanmean()),
        "asked": [frame / (frames - 1) for frame in range(frames)],
    }
    for name, values in seen.items():
        judged = torch.cat(values)
        growth = judged.diff(dim=1)
        found[name] = {
            "judged": judged.mean(0).tolist(),
            "monotone_on_average": bool((judged.mean(0).diff() > 0).all()),
            "steps_that_grow": float((growth > 0).float().mean()),
            "faces_that_end_higher": float((judged[:, -1] > judged[:, 0]).float().mean()),
        }
    _draw_strips(run, model, data)
    return found


def _draw_strips(run: Path, model: Translator, data: Any, frames: int = 9, faces: int = 3) -> None:
    batch = next(iter(data.test_dataloader()))
    folder = run / "strips"
    folder.mkdir(exist_ok=True)
    for unit, name in enumerate(model.attributes):
        for face in range(min(faces, len(batch["image"]))):
            labels = sweep(batch["label"][face], unit, frames)
            shown = pictures(model(batch["image"][face].expand(frames, -1, -1, -1), Target(label=labels)).image)
            captions = [f"{name} {value:.2f}" for value in labels[:, unit].tolist()]
            strip(shown, captions).save(folder / f"{name}-{face}.png")
            if face == 0:
                save_gif(shown, folder / f"{name}.gif")


def study_sharpness(run: Path, judge: Path | None, images: int) -> Found:
    """A higher stage's output beside the first stage's, enlarged: how sharp it is, and how far from the truth.

    ``detail`` is the mean absolute Laplacian and ``detail_error`` the mean absolute error of the Laplacian, both in
    units of the true picture's mean. A blurred picture has little detail, and an error up to 1. Noise has much detail,
    and an error above 1: sharper is who has the less error.

    ``low`` is what the first stage makes of them, and ``before`` what the first stage of the run that this one started
    from made of them: the difference is what it has learnt since. A judge, if there is one, says whether the edited
    attribute is seen.
    """
    model, before = Translator.load(str(run)), _start_of(run)
    if model.hparams.get("stage", 1) == 1:
        raise SystemExit(f"{run} is of one resolution: this study compares the stages of ADSPM-256 or ADSPM-512")
    data = data_of(run)
    classifier = None if judge is None else _judge(judge, data)
    figures: dict[str, list[Tensor]] = defaultdict(list)
    for batch in first(data, images):
        for attribute, label in enumerate(data.edits(batch["label"]).unbind(1)):
            rows = (label != batch["label"]).any(1)
            if not rows.any():
                continue
            image, wanted = batch["image"][rows], label[rows]
            translation = model(image, Target(label=wanted))
            truth, _ = data.counterfactual("test", batch["index"][rows], wanted)
            shown = {"copied": image, "high": translation.image, "low": enlarged(translation.extras["low"], truth)}
            if before is not None:
                side = before.hparams["image_size"]
                shrunk = functional.interpolate(image, (side, side), mode="bilinear", align_corners=True)
                then = before(shrunk, Target(label=wanted))
                shown["before"] = enlarged(then.extras.get("low", then.image), truth)
            there = laplacian(truth).abs().mean((1, 2, 3))
            for name, picture in shown.items():
                bent = laplacian(picture)
                figures[f"detail/{name}"].append(bent.abs().mean((1, 2, 3)) / there)
                figures[f"detail_error/{name}"].append((bent - laplacian(truth)).abs().mean((1, 2, 3)) / there)
                figures[f"l1/{name}"].append(l1(picture, truth))
                figures[f"ssim/{name}"].append(ssim(picture, truth))
                if classifier is not None:
                    right = correct(classifier.predict(picture), wanted, data.one_hot)
                    figures[f"accuracy/{name}"].append(right[:, 0 if data.one_hot else attribute].float())
    edits = len(torch.cat(figures["l1/copied"]))
    return {"edits": edits, **{name: float(torch.cat(values).mean()) for name, values in figures.items()}}


def _start_of(run: Path) -> Translator | None:
    """The translator that a run began with, if it is still there."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    start = config.get("model", {}).get("init_args", {}).get("start")
    return Translator.load(start) if start and Path(start).exists() else None


def enlarged(image: Tensor, like: Tensor) -> Tensor:
    """(B, 3, h, w) to the size of (B, 3, H, W), cubic."""
    return functional.interpolate(image, like.shape[2:], mode="bicubic", align_corners=True).clamp(-1, 1)


def laplacian(image: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 3, H - 2, W - 2), the sum of both second differences."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=image.device).expand(3, 1, 3, 3)
    return functional.conv2d(image, kernel, groups=3)


def study_exemplars(run: Path, judge: Path | None, images: int) -> Found:
    """Of faces in the look of their exemplars: attributes, the hair's colour, and what stays.

    ``attributes`` is how often the judge sees an attribute as the exemplar has it, ``changed`` those of them in which
    source and exemplar differ. ``hair_colour`` is the distance from the exemplar's mean colour of hair, beside that
    from another exemplar's (``…_shuffled``) and the untouched source's (``…_copied``). ``background`` is the change
    where no attribute is, beside the same model's with both masks forced to one. With the hair's region erased from
    both masks (``without_hair``), or all else (``hair_alone``), ``hair`` and ``others`` are how often these attributes
    are the exemplar's where the two differ, and otherwise still the source's.

    All these are of any exemplar. Under an attribute's name is an edit of it alone, by an exemplar with just the label
    that is wanted: whether the judge sees it, what is ``kept`` of the others, the error inside the true edit beside the
    copied input's, the soft overlap of mask and true edit beside the best constant mask's.
    """
    model, data = Translator.load(str(run)), data_of(run)
    if not isinstance(model, LOMIT):
        raise SystemExit(f"{run} is of {type(model).__name__}: this study erases regions from the masks of LOMIT")
    if not hasattr(data, "counterfactual"):
        raise SystemExit(f"of {type(data).__name__} nobody knows what an edit should change: take drawn data")
    classifier, colours = _judge(judge, data), _hair(data)
    others = [column for column in range(len(data.attributes)) if column not in colours]
    figures: dict[str, list[Tensor]] = defaultdict(list)
    draw = torch.Generator().manual_seed(0)
    for batch in first(data, images):
        image, label, wanted = batch["image"], batch["label"], batch["reference_label"]
        target = Target(reference=batch["reference"])
        output = model(image, target).image
        seen, differs = classifier.predict(output) > 0.5, label != wanted
        figures["attributes"].append((seen == wanted.bool()).float().mean(1))
        figures["changed"].append(_share(seen == wanted.bool(), differs))
        hair, theirs = (_hair_region(data, batch[name], colours) for name in ("index", "reference_index"))
        goal = _mean_colour(batch["reference"], theirs)
        for name, picture in (("", output), ("_copied", image)):
            figures[f"hair_colour{name}"].append(_apart(_mean_colour(picture, hair), goal))
        if len(image) > 1:
            figures["hair_colour_shuffled"].append(_apart(_mean_colour(output, hair), goal.roll(1, 0)))
        anywhere = _region(data, batch["index"], range(len(data.attributes)))
        figures["background"].append(change_outside(image, output, anywhere))
        whole = model.translate(image, target, torch.ones_like, torch.ones_like).image
        figures["background_masks_of_one"].append(change_outside(image, whole, anywhere))
        near, theirs = (_hair_region(data, batch[name], colours, grown=True) for name in ("index", "reference_index"))
        regions = {"without_hair": (1 - near, 1 - theirs), "hair_alone": (near, theirs)}
        for name, (mask, exemplar_mask) in regions.items():
            edited = classifier.predict(model.translate(image, target, mask, exemplar_mask).image) > 0.5
            for group, columns in (("hair", colours), ("others", others)):
                right = (edited == wanted.bool())[:, columns]
                figures[f"{name}/{group}"].append(_share(right, differs[:, columns]))
        _measure_edits(figures, model, data, classifier, batch, draw)
    _draw_exemplars(run, model, data, colours)
    return _means(figures)


def _measure_edits(
    figures: dict[str, list[Tensor]],
    model: LOMIT,
    data: Any,
    classifier: AttributeClassifier,
    batch: Mapping[str, Tensor],
    draw: torch.Generator,
) -> None:
    """Note each edit of a batch by an exemplar with just its label, where a test picture has that."""
    for attribute, label in enumerate(data.edits(batch["label"]).unbind(1)):
        picks = _who_shows(data.samples("test").labels, label, range(len(data.attributes)), draw)
        rows = (label != batch["label"]).any(1) & (picks >= 0)
        if not rows.any():
            continue
        image, name = batch["image"][rows], data.attributes[attribute]
        translation = model(image, Target(reference=_test_pictures(data, picks[rows])))
        truth, where = data.counterfactual("test", batch["index"][rows], label[rows])
        _judged(figures, name, classifier, translation.image, batch["label"][rows], label[rows], attribute)
        figures[f"{name}/inside_error"].append(masked_l1(translation.image, truth, where))
        figures[f"{name}/inside_error_copied"].append(masked_l1(image, truth, where))
        figures[f"{name}/iou"].append(soft_iou(translation.mask, where))
        figures[f"{name}/iou_constant"].append(soft_iou(torch.ones_like(where), where))


def _draw_exemplars(run: Path, model: LOMIT, data: Any, colours: Sequence[int], faces: int = 8) -> None:
    """A row a face: itself, its exemplar, all of that one's look, its hair alone, all but its hair, and both masks."""
    batch = next(iter(data.test_dataloader()))
    image, target = batch["image"][:faces], Target(reference=batch["reference"][:faces])
    indices = (batch[name][:faces] for name in ("index", "reference_index"))
    hair, theirs = (_hair_region(data, index, colours, grown=True) for index in indices)
    whole = model(image, target)
    hair_alone = model.translate(image, target, hair, theirs).image
    others = model.translate(image, target, 1 - hair, 1 - theirs).image
    masks = (2 * whole.mask - 1, whole.extras["exemplar_mask"])
    shown = (image, target.reference, whole.image, hair_alone, others, *(mask.expand_as(image) for mask in masks))
    captions = ["source", "exemplar", "its look", "hair alone", "without hair", "mask", "exemplar's"]
    columns = [pictures(picture) for picture in shown]
    save_png(_stacked([strip(row, captions) for row in zip(*columns, strict=True)]), run / "exemplars.png")


def study_modes(run: Path, judge: Path | None, images: int, noises: int = 4) -> Found:
    """Each attribute changed by noise and by a reference: what the judge sees, how results differ, what they are like.

    ``accuracy``: the changed attribute is there; ``kept``: the others are as they were. ``diversity`` is the mean
    distance of results of different noises, 0 if noise decides nothing; ``diversity_of_references`` likewise of two
    references. ``closeness`` is of attributes that were asked for: the distance of the mean colour,
    where the true edit is or in the middle of a picture of which it is not known, from the reference's own, beside
    another reference's (``closeness_shuffled``); so far those two are apart (``closeness_of_references``). References
    are test pictures with the wanted value of the attribute, whatever else they show, as in the paper's table; of
    ``reference_alike`` those with the whole wanted label, as in training.
    """
    model, data = Translator.load(str(run)), data_of(run)
    if not isinstance(model, BridgeGAN):
        raise SystemExit(f"{run} is of {type(model).__name__}: this study compares the two modes of BridgeGAN")
    classifier, labels = _judge(judge, data), data.samples("test").labels
    figures: dict[str, list[Tensor]] = defaultdict(list)
    draw, draw_alike = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    for batch in first(data, images):
        for attribute, label in enumerate(data.edits(batch["label"]).unbind(1)):
            rows = (label != batch["label"]).any(1)
            if not rows.any():
                continue
            image, own, wanted = batch["image"][rows], batch["label"][rows], label[rows]
            results = []
            for _ in range(noises):
                latent = torch.randn(len(image), LATENT, generator=draw)
                results.append(model(image, Target(wanted, latent=latent, source_label=own)).image)
                _judged(figures, "label", classifier, results[-1], own, wanted, attribute)
            for one, other in combinations(results, 2):
                figures["diversity"].append(l1(one, other))
            everything = range(len(data.attributes))
            for mode, columns, by in (("reference", [attribute], draw), ("reference_alike", everything, draw_alike)):
                picks = torch.stack([_who_shows(labels, wanted, columns, by) for _ in range(2)])
                there = (picks >= 0).all(0)
                if not there.any():
                    continue
                references = [_test_pictures(data, pick) for pick in picks[:, there]]
                results = []
                for reference in references:
                    target = Target(wanted[there], reference, source_label=own[there])
                    results.append(model(image[there], target).image)
                    _judged(figures, mode, classifier, results[-1], own[there], wanted[there], attribute)
                if mode == "reference":
                    figures["diversity_of_references"].append(l1(*results))
                    indices = (*picks[:, there], *[batch["index"][rows][there]] * 2)
                    looks = zip((*references, *results), indices, strict=True)
                    colours = [_mean_colour(picture, _where(data, index, attribute)) for picture, index in looks]
                    asked_for = wanted[there, attribute] == 1  # what is absent has no look
                    _note_closeness(figures, *(colour[asked_for] for colour in colours))
    _draw_modes(run, model, data)
    return _means(figures)


def _note_closeness(
    figures: dict[str, list[Tensor]], goal: Tensor, other_goal: Tensor, found: Tensor, other_found: Tensor
) -> None:
    """Note how near two results' colours (B, 3) are to their own reference's, and to the other's."""
    figures["closeness_of_references"].append(_apart(goal, other_goal))
    figures["closeness"] += [_apart(found, goal), _apart(other_found, other_goal)]
    figures["closeness_shuffled"] += [_apart(found, other_goal), _apart(other_found, goal)]


def _judged(
    figures: dict[str, list[Tensor]],
    name: str,
    classifier: AttributeClassifier,
    picture: Tensor,
    own: Tensor,
    wanted: Tensor,
    attribute: int,
) -> None:
    """Note whether an edit (B, 3, H, W) of an attribute has it, and of the others how many are as they were."""
    one_hot = classifier.one_hot
    right = correct(classifier.predict(picture), wanted, one_hot)
    figures[f"{name}/accuracy"].append(right[:, 0 if one_hot else attribute].float())
    if not one_hot:
        figures[f"{name}/kept"].append(_share(right, own == wanted))


def _who_shows(labels: Tensor, wanted: Tensor, columns: Sequence[int], draw: torch.Generator) -> Tensor:
    """(B,): for each wanted label (B, K) a row of labels that is the same in these columns, drawn; -1 if none is."""
    picks = []
    for label in wanted:
        pool = (labels[:, columns] == label[columns]).all(1).nonzero()[:, 0]
        picks.append(int(pool[int(torch.randint(len(pool), (), generator=draw))]) if len(pool) else -1)
    return torch.tensor(picks)


def _test_pictures(data: Any, rows: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1], of these rows of the test split."""
    return to_tensor(torch.from_numpy(data.samples("test").read_all(rows.tolist())))


def _draw_modes(run: Path, model: BridgeGAN, data: Any, faces: int = 2) -> None:
    """A row an edit: three noises, from the last of them to a reference in three steps, and the reference."""
    batch, labels = next(iter(data.test_dataloader())), data.samples("test").labels
    draw, rows = torch.Generator().manual_seed(0), []
    noises = torch.randn(3, 1, LATENT, generator=draw)
    for face in range(faces):
        image, own = batch["image"][face : face + 1], batch["label"][face : face + 1]
        for attribute, label in enumerate(data.edits(own)[0]):
            if torch.equal(label, own[0]):
                continue
            wanted = label[None]
            pick = _who_shows(labels, wanted, [attribute], draw)
            if pick < 0:
                continue
            reference = _test_pictures(data, pick)
            shown = [model(image, Target(wanted, latent=noise, source_label=own)).image for noise in noises]
            both = Target(wanted, reference, latent=noises[-1], source_label=own)
            shown += [model.translate(image, both, mix=mix).image for mix in (2 / 3, 1 / 3, 0.0)]
            name = ("" if label[attribute] else "no ") + model.attributes[attribute].replace("_", " ")
            captions = ["source", f"{name}, a noise", "another", "a third", "2/3", "1/3", "as reference", "reference"]
            rows.append(strip([pictures(picture)[0] for picture in (image, *shown, reference)], captions))
    save_png(_stacked(rows), run / "modes.png")


def study_attention(run: Path, judge: Path | None, images: int) -> Found:
    """Of edits into Y: how far the map reaches, and what it spares.

    ``map`` is its mean, ``map_greatest`` that of each picture's greatest value, ``change`` that of the whole picture,
    of the composite and of G_0 alone. Of data whose edits are known also ``outside``, the change outside the true edit;
    ``inside_error``, the error where that is, beside the copied input's; ``iou``, the soft overlap of the map and the
    true edit, beside the best constant map's; ``segmentation_iou``, that of the map cut at 0.5.
    """
    model, data = Translator.load(str(run)), data_of(run)
    if not isinstance(model, SRAGAN):
        raise SystemExit(f"{run} is of {type(model).__name__}: this study looks at the map of SRAGAN")
    if judge is not None:
        raise SystemExit(f"nothing here is judged: leave {judge} out")
    figures: dict[str, list[Tensor]] = defaultdict(list)
    for batch in first(data, images):
        edits = model.attainable(batch["label"], data.edits(batch["label"]))[:, -1]
        rows = (edits != batch["label"]).any(1)
        if not rows.any():
            continue
        image, wanted = batch["image"][rows], edits[rows]
        translation = model(image, Target(wanted))
        mask, shown = translation.mask, {"composite": translation.image, **translation.extras}
        if mask is None:
            raise SystemExit(f"{run} has no map: it was trained without attention, or not beyond its first phase")
        figures["map"].append(mask.mean((1, 2, 3)))
        figures["map_greatest"].append(mask.amax((1, 2, 3)))
        for name, picture in shown.items():
            figures[f"change/{name}"].append(l1(picture, image))
        if not hasattr(data, "counterfactual"):
            continue
        truth, where = data.counterfactual("test", batch["index"][rows], wanted)
        for name, picture in shown.items():
            figures[f"outside/{name}"].append(change_outside(image, picture, where))
            figures[f"inside_error/{name}"].append(masked_l1(picture, truth, where))
        figures["inside_error/copied"].append(masked_l1(image, truth, where))
        figures["iou"].append(soft_iou(mask, where))
        figures["iou_constant"].append(soft_iou(torch.ones_like(where), where))
        figures["segmentation_iou"].append(soft_iou(model.segment(image).float(), where))
    return _means(figures)


def _hair(data: Any) -> list[int]:
    """The columns of the hair's colours."""
    group = next((names for names in data.exclusive if names[0].endswith("_Hair")), None)
    if group is None:
        raise SystemExit("this study measures the colour of hair: it needs data with two or more hair colours")
    return [data.attributes.index(name) for name in group]


def _region(data: Any, index: Tensor, attributes: Iterable[int]) -> Tensor:
    """(B, 1, H, W), 1 where any edit of these attributes would change a test picture."""
    labels = data.samples("test").labels[index]
    edits = data.edits(labels)
    masks = [data.counterfactual("test", index, edits[:, attribute])[1] for attribute in attributes]
    return torch.stack(masks).amax(0)


def _hair_region(data: Any, index: Tensor, colours: Sequence[int], grown: bool = False) -> Tensor:
    """(B, 1, H, W): where the hair is, or is near; not where another attribute is seen, beards in its colour, say."""
    others = [column for column in range(len(data.attributes)) if column not in colours]
    hair, rest = _region(data, index, colours), _region(data, index, others) if others else 0
    return (_grown(hair * (1 - rest)) if grown else hair) * (1 - rest)


def _where(data: Any, index: Tensor, attribute: int) -> Tensor:
    """(B, 1, H, W): where an attribute is seen, or one that excludes it; if nobody knows, the middle of the picture."""
    if hasattr(data, "counterfactual"):
        name = data.attributes[attribute]
        group = next((names for names in data.exclusive if name in names), (name,))
        return _region(data, index, [data.attributes.index(member) for member in group])
    middle = torch.zeros(len(index), 1, data.image_size, data.image_size)
    quarter = data.image_size // 4
    middle[..., quarter:-quarter, quarter:-quarter] = 1
    return middle


def _grown(mask: Tensor) -> Tensor:
    """A map of 0 and 1 with a rim of a sixteenth of the side: masks are drawn coarsely."""
    rim = max(1, mask.shape[-1] // 16)
    return functional.max_pool2d(mask, 2 * rim + 1, 1, rim)


def _mean_colour(image: Tensor, mask: Tensor) -> Tensor:
    """(B, 3) in [-1, 1] over a mask; NaN where it is empty."""
    return (image * mask).sum((2, 3)) / mask.sum((2, 3))


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Distance of colours (B, 3), a mean over the channels on the scale [0, 1]: (B,)."""
    return (one - other).abs().mean(1) / 2


def _share(right: Tensor, counted: Tensor) -> Tensor:
    """(B,): the share of those counted that are right; NaN where none is."""
    return (right & counted).sum(1) / counted.sum(1)


def _means(figures: Mapping[str, Sequence[Tensor]]) -> Found:
    """What could be measured, averaged."""
    means = {name: float(torch.cat(list(values)).nanmean()) for name, values in figures.items()}
    return {name: value for name, value in means.items() if value == value}


def _judge(path: Path | None, data: Any) -> AttributeClassifier:
    """The judge, if it tells what these data are labelled with."""
    if path is None:
        raise SystemExit(
            "this study needs a judge's run folder behind the run's: make train MODEL=judge DATA=… makes one"
        )
    judge = AttributeClassifier.load(path)
    if judge.attributes != tuple(data.attributes) or judge.intensities != data.intensities:
        kinds = ("attributes", "intensities")
        raise SystemExit(
            f"the judge {path} tells the {kinds[judge.intensities]} {', '.join(judge.attributes)}, and the run's data "
            f"have the {kinds[data.intensities]} {', '.join(data.attributes)}: train a judge on the same"
        )
    return judge


STUDIES: dict[str, Callable[[Path, Path | None, int], Found]] = {
    "circularity": study_circularity,
    "combination": study_combination,
    "strips": study_strips,
    "sharpness": study_sharpness,
    "exemplars": study_exemplars,
    "modes": study_modes,
    "attention": study_attention,
}


@torch.inference_mode()
def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("run", type=Path, help="run folder of a translator")
    parser.add_argument("judge", type=Path, nargs="?", help="run folder of a judge of the same data")
    parser.add_argument("--images", type=int, default=500, help="of the test split, the first")
    options = parser.parse_args()
    checkpoint = checkpoints.resolve(options.run)
    found = STUDIES[options.study](options.run, options.judge, options.images)
    context = {"judge": options.judge and str(options.judge), "checkpoint": str(checkpoint), "commit": COMMIT}
    report = {**context, "first_images": options.images, **found}
    path = options.run / f"{options.study}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
