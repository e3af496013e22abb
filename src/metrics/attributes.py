"""Accuracies by a judge: what it reads off a picture, set against what should be there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.averages import Averages


class AttributeAccuracy(Averages):
    """``accuracy``: how often the judge is right about pictures whose label is known.

    A class (``one_hot``) is right if it is the likeliest; an attribute, or an action unit, if it lies on the label's
    side of 0.5.

    Args:
        attributes: the K names.
        one_hot: whether exactly one attribute is 1.
    """

    figures = ("accuracy",)

    def __init__(self, attributes: Sequence[str], one_hot: bool = False, **settings: Any) -> None:
        super().__init__(attributes, **settings)
        self.one_hot = one_hot

    def update(self, probability: Tensor, label: Tensor) -> None:
        """Both (N, K), in [0, 1]."""
        right = correct(probability, label, self.one_hot)
        if self.one_hot:
            self.add("accuracy", right[:, 0], label.argmax(dim=1))
        else:
            attribute = torch.arange(label.shape[1], device=label.device).expand_as(label)
            self.add("accuracy", right.flatten(), attribute.flatten())


class EditAccuracy(Averages):
    """What a judge reads off translated pictures, by the attribute that the edit was about.

    ``target_accuracy``: the requested attribute is there. ``kept_accuracy``: those that the request leaves as they
    were still are (absent for classes, where an edit leaves nothing). Neither says that the picture is any good: a
    generator learns to please a classifier long before it learns to draw. Read them beside `CounterfactualError`.

    Args:
        attributes: the K names.
        one_hot: whether exactly one attribute is 1.
    """

    figures = ("target_accuracy", "kept_accuracy")

    def __init__(self, attributes: Sequence[str], one_hot: bool = False, **settings: Any) -> None:
        super().__init__(attributes, **settings)
        self.one_hot = one_hot

    def update(self, probability: Tensor, label: Tensor, target: Tensor, edit: Tensor) -> None:
        """Take in translations that were asked to change something.

        Args:
            probability: (N, K), what the judge sees in the translation.
            label: (N, K), the source's attributes.
            target: (N, K), what they were to become.
            edit: (N,), the attribute that the edit was about.
        """
        right = correct(probability, target, self.one_hot).to(probability)
        if self.one_hot:
            self.add("target_accuracy", right[:, 0], edit)
            return
        self.add("target_accuracy", right.gather(1, edit[:, None])[:, 0], edit)
        kept = (label == target).to(right)
        count = kept.sum(dim=1)
        self.add("kept_accuracy", (right * kept).sum(dim=1) / count, edit, measured=count > 0)


def correct(probability: Tensor, label: Tensor, one_hot: bool) -> Tensor:
    """Whether a judge is right: booleans, (N, K) for attributes, (N, 1) for classes. Both arguments (N, K).

    About a picture that holds NaN it sees nothing, and is wrong.
    """
    seen = ~probability.isnan()
    if one_hot:
        right = probability.argmax(dim=1, keepdim=True) == label.argmax(dim=1, keepdim=True)
        return right & seen.all(dim=1, keepdim=True)
    return ((probability > 0.5) == (label > 0.5)) & seen
