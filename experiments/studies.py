"""What only one paper asks about, measured on a finished run; writes ``<study>.json`` into the run folder.

python experiments/studies.py circularity RUN JUDGE    ADSPM, fig. 3: does the motion alone turn squares into circles?
python experiments/studies.py combination RUN JUDGE    ADSPM, figs. 7 and 13: do the motions of two attributes add up?
python experiments/studies.py strips RUN JUDGE         GANimation, sect. 6.1: does a unit grow as it is asked to?
python experiments/studies.py sharpness RUN [JUDGE]    ADSPM, sect. 3.3: what does a higher stage add?
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.nn import functional

from datamodules.recipes import class_of, data_section
from metrics import AttributeClassifier
from metrics.attributes import correct
from metrics.functional import circularity, coverage, l1, share_inside, ssim
from translators import ADSPM, Target, Translator
from translators.animation import pictures, save_gif, save_png, strip, sweep

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
    rows = [strip(row, captions) for row in zip(*columns, strict=True)]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for place, row in enumerate(rows):
        sheet.paste(row, (0, place * row.height))
    save_png(sheet, run / "combination.png")


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
    found = STUDIES[options.study](options.run, options.judge, options.images)
    report = {"judge": options.judge and str(options.judge), **found}
    path = options.run / f"{options.study}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
