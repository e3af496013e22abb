"""What two processes do together, in one go, since starting them takes longer than all of it.

``python pair.py FOLDER`` is started twice, as processes 0 and 1 of 2; each writes what it found to FOLDER.
"""

import contextlib
import sys
from pathlib import Path

import torch
from torch import distributed

from tiny import (
    Poison,
    Tiny,
    accepted,
    arguments,
    data_for,
    exported,
    fit,
    of,
    quiet,
    small,
    stop_and_resume,
    weights,
    with_sgd,
)
from translators import BridgeGAN, CycleGAN, Phase, Translator, bridgegan, checkpoints, strategy
from translators.callbacks import LastCheckpoints
from translators.cli import run
from translators.losses import gradient_penalty

TWO = {"devices": 2}
APART = {"noise": 0.0, "pool_size": 0}  # of what each process draws or remembers by itself: none
SLOW = {"LOMIT": {"lr": 5e-5}}  # whose losses are sums, under plain gradient descent
MEANS = {"lambda_ms": 0.0}  # nor a ratio of a batch's means, which is of each process's part


def penalty_of_each_image(critic, real, fake):
    """The penalty, at a place between real and fake that depends on the image and not on who draws it."""
    return gradient_penalty(critic, real, fake, alpha=real.mean((1, 2, 3)).sigmoid())


@contextlib.contextmanager
def with_that_penalty(model: type[Translator]):
    """Within, the model's penalty is that one, if it has any."""
    home = vars(sys.modules[model.__module__])
    penalised = "gradient_penalty" in home
    if penalised:
        home["gradient_penalty"] = penalty_of_each_image
    try:
        yield
    finally:
        if penalised:
            home["gradient_penalty"] = gradient_penalty


class DrawnFromImages:
    """Of BridgeGAN: noise that depends on the images and not on who draws it."""

    def drawn(self, images):
        mean, numbers = images.mean((1, 2, 3))[:, None], torch.arange(1, 17)
        latent, other = (100 * mean * numbers).sin(), (90 * mean * numbers).cos()
        return bridgegan.Draw(latent, other, (100 * mean).sin().abs()[:, :, None, None])


def join(model: type[Translator], folder: Path, devices: int, batch_size: int, **more):
    """Train in float64; the start is that of process 0, whatever the others have."""
    torch.manual_seed(distributed.get_rank() if distributed.is_initialized() else 0)
    settings = {
        "n_critic": 2,
        "lr": 0.005,
        "accumulate": 2,
        "ema_decay": 0.5,
        **accepted(model, APART | MEANS),
        **of(model, SLOW),
        **more,
    }
    kind = with_sgd(model)
    if model is BridgeGAN:
        kind = type(kind.__name__, (DrawnFromImages, kind), {})
    translator = small(kind, **settings)
    data = data_for(model, batch_size=batch_size, flip=True)
    with with_that_penalty(model):
        fit(translator, folder, 8, data=data, precision="64-true", devices=devices)
    with translator.averaged():
        average = weights(translator.generator)
    memory = {"bank": translator.bank} if more.get("noise_bank") else {}
    return {"weights": weights(translator), "average": average, **memory}


def joined(model, **more):
    return lambda folder, rank: join(model, folder, **TWO, batch_size=4, **more)


def pools(folder, rank):
    """A CycleGAN with pools that are full from the first batch on, in one go and in two."""
    stop_and_resume(lambda: small(CycleGAN, n_critic=3, lr=0.001, pool_size=3), folder, stop=7, end=10, **TWO)


def poisoned(folder, rank):
    """Only process 1 gets bad images; Adam, so that a step without a gradient would show."""
    model = Tiny()
    trainer = fit(model, folder, 5, callbacks=[Poison([2], rank=1)], **TWO)
    counts = [int(next(iter(optimizer.state.values()))["step"]) for optimizer in trainer.optimizers]
    return {"weights": weights(model), "updates": counts, "skipped": model._skipped, "global_step": trainer.global_step}


def frozen(folder, rank):
    """Phases that freeze and thaw, and a term that only process 0 has: a part without a gradient elsewhere."""

    class Lopsided(Tiny):
        def discriminator_loss(self, batch, target):
            terms = super().discriminator_loss(batch, target)
            if rank:
                terms = {name: 0 * self.discriminator.first(batch["image"]).sum() for name in terms}
            return terms

    phases = [{"steps": 2, "learns": ("generator",)}, {"steps": 3}]
    model = Lopsided(phases=[Phase(**phase) for phase in phases])
    fit(model, folder, callbacks=[], **TWO)
    return {"weights": weights(model)}


def disagreeing(folder, rank):
    model = Tiny()
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    strategy.assert_replicas_agree(model)
    if rank:
        model.generator.second.bias.data[0] += 1e-3
    try:
        strategy.assert_replicas_agree(model)
    except RuntimeError as error:
        return str(error)
    return "nothing was noticed"


def together(folder, *more: str, workers: int = 0) -> int:
    with quiet() as printed:
        status = run(arguments(folder, *more, devices=2, workers=workers))
    (folder / f"printed-{distributed.get_rank()}.txt").write_text(printed.getvalue())
    return status


def uninterrupted(folder, rank):
    return together(folder)


def resumed(workers):
    def resume(folder, rank):
        killed = folder.parent / f"killed-2-{workers}"
        return together(killed, f"--ckpt_path={killed}", workers=workers)

    return resume


def signalled(folder, rank):
    """Only process 1 receives the signal."""
    stop = ["--trainer.callbacks+=tiny.Signal", "--trainer.callbacks.step=5", "--trainer.callbacks.rank=1"]
    return together(folder, *stop), checkpoints.newest(folder).name


def kept(folder, rank):
    fit(Tiny(), folder, 7, callbacks=[LastCheckpoints(every_n_steps=2)], **TWO)
    distributed.barrier()  # only process 0 writes and removes
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


JOBS = {
    **{f"joined-{model.__name__}": joined(model) for model in exported()},
    "banked": joined(BridgeGAN, noise_bank=True),
    "pools": pools,
    "poisoned": poisoned,
    "frozen": frozen,
    "disagreeing": disagreeing,
    "uninterrupted": uninterrupted,
    "resumed-0": resumed(0),
    "resumed-2": resumed(2),
    "signalled": signalled,
    "kept": kept,
}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    for name, job in JOBS.items():
        place = folder / name
        place.mkdir(exist_ok=True)
        rank = distributed.get_rank() if distributed.is_initialized() else None
        found = job(place, rank)
        torch.save(found, folder / f"{name}-{distributed.get_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
