# %% [markdown]
"""
# First steps

Faces that the library draws, what may be asked of them, and a translator that has to learn it. Nothing is downloaded.
Open this file as a notebook (jupytext, or an editor that knows `# %%`), or run it: `python notebooks/first_steps.py`.
"""

# %%
from pathlib import Path

import torch
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from datamodules import SyntheticFaces
from datamodules.drawn import Identity, draw
from translators import StarGAN, Target, Translator

# %% [markdown]
"""
## A person is a few numbers

`Identity.sample(seed, index)` is the same person on every machine. Here are sixteen, each in their own way; what nobody
asks for follows the person's habits, and expressions are neutral.
"""

# %%
people = [Identity.sample(seed=0, index=index) for index in range(16)]
portraits = [torch.from_numpy(draw(person, {}, size=96)).permute(2, 0, 1) for person in people]
to_pil_image(make_grid(portraits, nrow=8))

# %% [markdown]
"""
## One person, crossed with attributes

Attributes carry CelebA's names; between 0 and 1 lies everything in between. Action units are named after their number:
`AU12` pulls the corners of the mouth, `AU4` lowers the brows.
"""

# %%
wishes = [{}, {"Smiling": 1}, {"Eyeglasses": 1}, {"Blond_Hair": 1}, {"Bangs": 1}, {"AU4": 1}, {"AU12": 0.5, "AU26": 1}]
crossed = [torch.from_numpy(draw(person, wish, size=96)).permute(2, 0, 1) for person in people[:3] for wish in wishes]
to_pil_image(make_grid(crossed, nrow=len(wishes)))

# %% [markdown]
"""
## A dataset that knows the truth

A batch is a dictionary: images in [-1, 1], their labels, and an independent draw beside each. `edits` proposes one
change for each attribute; `counterfactual` draws what that change should look like, and where.
"""

# %%
data = SyntheticFaces(image_size=64, batch_size=8, num_workers=0, cache=False)
batch = next(iter(data.test_dataloader()))
print(dict(zip(data.attributes, batch["label"][0].int().tolist(), strict=True)))

# %%
smile = data.edits(batch["label"])[:, data.attributes.index("Smiling")]
truth, mask = data.counterfactual("test", batch["index"], smile)
rows = torch.cat([batch["image"], truth, mask.expand(-1, 3, -1, -1) * 2 - 1])
to_pil_image(make_grid(rows, nrow=8, normalize=True, value_range=(-1, 1)))

# %% [markdown]
"""
Above the source, below it the same person with the smile turned on or off, then the pixels that differ. No photograph
has the last two rows: they are what a translator is measured against here, beside the score of merely copying the
source.

## A translator

`StarGAN` paints an image anew under a label, the whole wanted state. Untrained it paints noise, which is fair.
"""

# %%
model = StarGAN(attributes=data.attributes, image_size=64, generator_width=16, discriminator_width=16).eval()
print(f"{sum(weight.numel() for weight in model.generator.parameters()):,} weights in the generator")
with torch.no_grad():
    translation = model(batch["image"], Target(label=smile))
to_pil_image(make_grid(translation.image, nrow=8, normalize=True, value_range=(-1, 1)))

# %% [markdown]
"""
## A trained one

`make train` leaves a run in `runs/`. `Translator.load` takes the run folder, finds the class, and gives back the
averaged generator. Below, for the newest run of `stargan-quick` on drawn faces: the source, then one row for each of
the attributes it was trained on.
"""

# %%
here = Path.cwd().parent if Path.cwd().name == "notebooks" else Path.cwd()
runs = here / "runs" / "stargan-quick-synthetic"
trained = max(runs.glob("*/checkpoints/step-*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
if trained is None:
    print(f"there is no run in {runs} yet: `make train` makes one; until then this goes on with the untrained model")
else:
    model = Translator.load(str(trained.parents[1]))

# %%
data = SyntheticFaces(
    attributes=list(model.attributes),
    image_size=model.hparams["image_size"],
    batch_size=8,
    num_workers=0,
    cache=False,
)
batch = next(iter(data.test_dataloader()))
with torch.no_grad():
    rows = [model(batch["image"], Target(label=label)).image for label in data.edits(batch["label"]).unbind(dim=1)]
to_pil_image(make_grid(torch.cat([batch["image"], *rows]), nrow=8, normalize=True, value_range=(-1, 1)))

# %% [markdown]
"""
Whether these are good is a question for `make evaluate` and a judge, and for your eyes: the README says why it takes
both.
"""
