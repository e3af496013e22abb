"""Images that a generator made some time ago, for a discriminator to see again (Shrivastava et al., CVPR 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from translators.checks import check_least


class ImagePool:
    """A history of generated images, which keeps a discriminator from forgetting what it has seen through.

    Each process has its own; a checkpoint must keep them all, as the discriminator would see other images after a
    resume (`translators.base.Translator.process_state`).

    Args:
        size: how many images it holds; 0 passes every image through.

    Raises:
        ValueError: if the size is negative.
    """

    def __init__(self, size: int = 50) -> None:
        check_least(0, pool_size=size)
        self.size = size
        self.images: list[Tensor] = []  # (C, H, W) each

    def exchange(self, images: Tensor) -> Tensor:
        """Put images in and get as many out (CycleGAN's released code).

        Until the pool is full each image is stored and returned. Then half of the time an image is returned, and
        otherwise it takes the place of a random stored one, which is returned. An image that is not finite is returned
        and never stored: a bad batch costs its own update, and none of those to come.

        Args:
            images: (B, C, H, W).

        Returns:
            Likewise, without gradients.

        Raises:
            ValueError: if the images are of another size than those in the pool.
        """
        if self.size == 0:
            return images.detach()
        if self.images and self.images[0].shape != images.shape[1:]:
            raise ValueError(
                f"the pool holds images of the size {tuple(self.images[0].shape)}, got {tuple(images.shape[1:])}: "
                "a run is resumed at its own image_size; for another, begin a new run from its weights "
                "(--model.init_args.start=runs/…)"
            )
        self.images = [image.to(images) for image in self.images]  # those of a checkpoint lie on the CPU
        finite = images.isfinite().flatten(1).all(1).tolist()
        exchanged = []
        for image, sound in zip(images.detach(), finite, strict=True):
            if sound and len(self.images) < self.size:
                self.images.append(image.clone())
            elif sound and torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                image, self.images[place] = self.images[place], image.clone()
            exchanged.append(image)
        return torch.stack(exchanged)

    def state(self) -> Tensor:
        """(N, C, H, W), what it holds."""
        return torch.stack(self.images).cpu() if self.images else torch.empty(0)

    def restore(self, state: Tensor) -> None:
        """Hold what another pool held, as much of it as fits."""
        self.images = list(state[: self.size])
