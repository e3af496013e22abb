"""A test's figures in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SENTENCES = (
    ("the requested attribute is there     {:.1%}", "target_accuracy"),
    ("  (the judge, on real pictures       {:.1%})", "judge_accuracy_on_real"),
    ("the other attributes are kept        {:.1%}", "kept_accuracy"),
    ("error of the requested unit          {:.4f}   (copying the input: {:.4f})", "unit_error", "unit_error_copied"),
    ("error of all units                   {:.4f}   ({:.4f})", "all_units_error", "all_units_error_copied"),
    ("  (the judge, on real pictures       {:.4f})", "unit_error_on_real"),
    (
        "error against the true picture       {:.4f}   (copying the input: {:.4f})",
        "counterfactual/l1",
        "counterfactual/l1_copied",
    ),
    ("  PSNR in dB                         {:.2f}   ({:.2f})", "counterfactual/psnr", "counterfactual/psnr_copied"),
    ("  SSIM                               {:.4f}   ({:.4f})", "counterfactual/ssim", "counterfactual/ssim_copied"),
    (
        "  inside the true edit mask          {:.4f}   ({:.4f})",
        "counterfactual/inside_l1",
        "counterfactual/inside_l1_copied",
    ),
    ("change outside the true edit mask    {:.4f}", "counterfactual/outside_change"),
    ("the mask's overlap with the true one {:.4f}   (a constant mask's: {:.4f})", "mask/iou", "mask/iou_constant"),
    ("  its share inside the true one      {:.1%}", "mask/inside"),
    ("the mask's share of the picture      {:.1%}", "mask/area"),
    ("error after going there and back     {:.4f}", "reconstruction_l1"),
    ("images per second                    {:.0f}", "images_per_second"),
)
"""Of a summary: what to say, and the figures it takes."""

COLUMNS = {
    "there": "target_accuracy",
    "kept": "kept_accuracy",
    "unit error": "unit_error",
    "of the copy": "unit_error_copied",
    "error / copy's": "counterfactual/inside_ratio",
    "mask overlap": "mask/iou",
}
"""Of a summary's table: its headings, and the figure of each attribute below."""


def summary(found: Mapping[str, float], attributes: tuple[str, ...], images: int, edits: int, path: Path) -> str:
    """A test's figures in words, then a line an attribute; what was not measured is left out."""
    lines = ["", f"Measured on {images:,} test images and {edits:,} edits of them (errors on a scale from 0 to 1):"]
    for sentence, *names in SENTENCES:
        if all(name in found for name in names):
            lines.append("  " + sentence.format(*(found[name] for name in names)))
    columns = {heading: name for heading, name in COLUMNS.items() if name in found}
    if columns:
        width = max(len(name) for name in attributes)
        lines += ["", "  " + " " * width + "".join(f"{heading:>16}" for heading in columns)]
        for attribute in attributes:
            cells = [found.get(f"{name}/{attribute}") for name in columns.values()]
            lines.append(
                f"  {attribute:<{width}}" + "".join(f"{'-' if cell is None else f'{cell:.3f}':>16}" for cell in cells)
            )
    return "\n".join([*lines, "", f"All numbers: {path}"])
