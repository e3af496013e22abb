import copy
import math

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.precision import MixedPrecision
from torch.optim import Adam

import translators
from tiny import ATTRIBUTES, SMALL, Poison, Snapshots, StarGANSGD, Tiny, TinyData, TinySGD, fit, make_batch, weights
from translators import ADSPM, Phase, StarGAN, Target, Translation, Translator, base, checkpoints
from translators.base import DivergedError
from translators.callbacks import LastCheckpoints
from translators.checkpoints import AtomicCheckpointIO


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def difference(one, other) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


def player(names, which) -> set[str]:
    return {name for name in names if name.startswith(which)}


def updates(trainer) -> list[int]:
    """How often Adam moved the discriminator and the generator."""
    return [int(next(iter(optimizer.state.values()))["step"]) for optimizer in trainer.optimizers]


# ---------------------------------------------------------------------------------------------------------- iterations


def test_the_generator_learns_on_every_n_critic_th_batch(tmp_path):
    seen = Snapshots()
    trainer = fit(Tiny(n_critic=5), tmp_path, 10, callbacks=[seen])
    assert trainer.global_step == len(seen.batches) == 10
    assert updates(trainer) == [10, 2]
    assert [bool(player(seen.moved(step), "generator")) for step in range(10)] == [step in (4, 9) for step in range(10)]
    assert all(player(seen.moved(step), "discriminator") for step in range(10))


@pytest.mark.parametrize("n_critic", [1, 2, 3])
def test_checkpoints_fall_on_every_multiple_of_their_interval(tmp_path, n_critic):
    saved = []

    class Recorder(AtomicCheckpointIO):
        def save_checkpoint(self, checkpoint, path, storage_options=None):
            saved.append(checkpoint["global_step"])
            super().save_checkpoint(checkpoint, path, storage_options)

    fit(Tiny(n_critic=n_critic), tmp_path, 10, callbacks=[LastCheckpoints(every_n_steps=3)], plugins=[Recorder()])
    assert saved == [3, 6, 9, 10]


def test_noise_is_a_function_of_seed_and_step(tmp_path):
    class Noisy(Tiny):
        def sample_target(self, batch):
            self.drawn.append(torch.rand(()).item())
            return super().sample_target(batch)

    def draws(seed, before):
        model = Noisy(seed=seed)
        model.drawn = []
        torch.manual_seed(before)
        fit(model, tmp_path, 3)
        return model.drawn

    assert draws(0, before=1) == draws(0, before=2)
    assert len({*draws(0, before=1), *draws(1, before=1)}) == 6


# --------------------------------------------------------------------------------------------------------------- losses


def test_terms_are_weighted_by_their_lambdas(tmp_path):
    """One iteration of gradient descent, done again by hand: first the discriminator, then the generator against it."""
    torch.manual_seed(0)
    model = TinySGD(lr=0.1, lambda_cls=3.0, lambda_rec=7.0).double()
    plain = copy.deepcopy(model)
    seen = Snapshots()
    fit(model, tmp_path, 1, callbacks=[seen], precision="64-true")
    image, label, wanted = (seen.batches[0][name] for name in ("image", "label", "reference_label"))
    g, d = plain.generator, plain.discriminator

    (real, logits), (fake, _) = d(image), d(g(image, wanted).detach())
    loss = ((real - 1) ** 2).mean() + (fake**2).mean() + 3 * ((logits - label) ** 2).mean()
    descend(d, loss)
    score, logits = d(g(image, wanted))
    back = g(g(image, wanted), label)
    loss = ((score - 1) ** 2).mean() + 3 * ((logits - wanted) ** 2).mean() + 7 * (back - image).abs().mean()
    descend(g, loss)

    assert difference(weights(model), weights(plain)) < 1e-14
    assert seen.moved(0) == weights(model).keys()


def descend(network, loss):
    parameters = list(network.parameters())
    with torch.no_grad():
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter -= 0.1 * gradient


def test_the_unweighted_terms_are_logged(tmp_path):
    class Heavy(Tiny):
        def discriminator_loss(self, batch, target):
            return {"adv": torch.tensor(4.0) + 0 * self.discriminator(batch["image"])[0].sum()}

    trainer = fit(Heavy(), tmp_path, 1)
    assert trainer.callback_metrics["discriminator/adv"] == 4
    assert {name for name in trainer.callback_metrics if "/" in name} == {
        "discriminator/adv",
        "generator/adv",
        "generator/cls",
        "generator/rec",
    }


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulating_parts_is_the_whole_batch(tmp_path, parts):
    whole, split = (TinySGD(lr=0.1, accumulate=count) for count in (1, parts))
    split.load_state_dict(whole.state_dict())
    for model in (whole, split):
        fit(model, tmp_path, 8, precision="64-true")
    assert difference(weights(whole), weights(split)) < 1e-12


def test_accumulate_must_divide_the_batch(tmp_path):
    with pytest.raises(ValueError, match="accumulate=3 must divide the batch size, 4"):
        fit(Tiny(accumulate=3), tmp_path, 1)


@pytest.mark.parametrize("clip_norm", [1e-3, 1e3])
def test_clip_norm_bounds_each_players_gradient(tmp_path, clip_norm):
    """With a rate of 1 the weights move by the gradient."""
    free, clipped = Snapshots(), Snapshots()
    model = TinySGD(lr=1.0)
    bounded = TinySGD(lr=1.0, clip_norm=clip_norm)
    bounded.load_state_dict(model.state_dict())
    fit(model, tmp_path, 1, callbacks=[free], precision="64-true")
    fit(bounded, tmp_path, 1, callbacks=[clipped], precision="64-true")

    def norm(snapshots, which="discriminator"):
        before, after = snapshots.weights
        return math.sqrt(sum((after[name] - before[name]).square().sum() for name in before if name.startswith(which)))

    assert norm(clipped) == pytest.approx(min(norm(free), clip_norm), rel=1e-3)
    assert norm(clipped, "generator") <= clip_norm * 1.0001


def test_clipping_goes_with_mixed_precision(tmp_path):
    seen = Snapshots()
    fit(Tiny(clip_norm=1e-3), tmp_path, 1, callbacks=[seen], precision="bf16-mixed")
    assert seen.moved(0)


def test_validating_on_bare_loaders_asks_for_a_datamodule(tmp_path):
    quietly = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = Trainer(default_root_dir=tmp_path, max_steps=1, **quietly)
    with pytest.raises(ValueError, match="give the trainer one, not bare loaders"):
        trainer.validate(Tiny(), TinyData().val_dataloader(), verbose=False)


def test_max_steps_beyond_the_phases_is_remarked_upon(tmp_path):
    with pytest.warns(UserWarning, match="max_steps is 9, but the phases end after 7 iterations"):
        assert fit(Tiny(phases=COURSE), tmp_path, 9).global_step == 7


# --------------------------------------------------------------------------------------------------------------- phases

COURSE = [
    Phase(2, name="critic", learns=("discriminator",)),
    Phase(3, name="half", learns=("generator.first", "discriminator.second")),
    Phase(2, name="all"),
]


def test_a_phase_moves_only_what_it_names(tmp_path):
    seen, model = Snapshots(), Tiny(phases=COURSE)
    trainer = fit(model, tmp_path, callbacks=[seen])
    assert trainer.global_step == 7  # the run ends with its last phase
    d, g = player(weights(model), "discriminator"), player(weights(model), "generator")
    half = player(g, "generator.first") | player(d, "discriminator.second")
    assert [seen.moved(step) for step in range(7)] == [d] * 2 + [half] * 3 + [d | g] * 2
    assert model.phase.name == "all"


def test_what_is_frozen_is_in_eval_mode_and_has_no_gradient(tmp_path):
    modes = []

    class Watching(Tiny):
        def discriminator_loss(self, batch, target):
            modes.append((self.phase.name, self.generator.first.training, self.generator.second.training))
            return super().discriminator_loss(batch, target)

    model = Watching(phases=COURSE[:2])
    fit(model, tmp_path)
    assert modes == [("critic", False, False)] * 2 + [("half", True, False)] * 3
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        "generator.first.weight",
        "generator.first.bias",
        "discriminator.second.weight",
        "discriminator.second.bias",
    }


def test_max_steps_ends_a_run_before_its_phases_do(tmp_path):
    assert fit(Tiny(phases=COURSE), tmp_path, 4).global_step == 4


def test_adam_starts_afresh_in_each_phase(tmp_path):
    trainer = fit(Tiny(phases=[Phase(4), Phase(3)]), tmp_path)
    assert updates(trainer) == [3, 3]


def test_a_phase_that_names_nothing_known_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"phase 'x' learns 'generator.third', which is no part of Tiny"):
        fit(Tiny(phases=[Phase(2, name="x", learns=("generator.third",))]), tmp_path)


def test_starGAN_learns_at_full_rate_for_half_of_its_iterations_and_stops_at_zero():
    model = StarGAN(attributes=ATTRIBUTES, **SMALL)
    scale = {step: model.lr_scale(step) for step in (0, 99_999, 100_000, 150_000, 199_999, 200_000)}
    assert scale == pytest.approx({0: 1, 99_999: 1, 100_000: 1, 150_000: 0.5, 199_999: 1e-5, 200_000: 0})


def test_the_rate_follows_the_step(tmp_path):
    seen = Snapshots()
    fit(Tiny(lr=0.4, phases=[Phase(3, decay=2), Phase(4, decay=4)]), tmp_path, callbacks=[seen])
    assert seen.rates == pytest.approx([0.4, 0.4, 0.2, 0.4, 0.3, 0.2, 0.1])


# --------------------------------------------------------------------------------------------------- the moving average


def test_the_average_follows_its_recursion_and_leaves_the_weights_alone(tmp_path):
    torch.manual_seed(0)
    with_average, without = Tiny(n_critic=2, ema_decay=0.7, lr=0.01), Tiny(n_critic=2, lr=0.01)
    without.load_state_dict(with_average.state_dict())
    seen = Snapshots()
    trainer = fit(with_average, tmp_path, 8, callbacks=[seen])
    fit(without, tmp_path, 8)
    assert same(weights(with_average), weights(without))

    expected = None
    for step in (1, 3, 5, 7):  # the generator's turns; the average starts as the first generator that has learnt
        after = {name: seen.weights[step + 1][f"generator.{name}"].double() for name in weights(with_average.generator)}
        expected = after if expected is None else {name: 0.7 * expected[name] + 0.3 * after[name] for name in after}
    live = weights(with_average.generator)
    with with_average.averaged():
        inside = weights(with_average.generator)
        assert not with_average.generator.training
        assert not torch.is_grad_enabled()
    assert difference(inside, expected) < 1e-6 < difference(live, expected)
    assert same(weights(with_average.generator), live)
    assert with_average.generator.training == without.generator.training
    trainer.save_checkpoint(tmp_path / "step-0000008.ckpt")


def test_averaged_gives_the_weights_back_after_an_error(tmp_path):
    model = Tiny(ema_decay=0.5, lr=0.1)
    fit(model, tmp_path, 3)
    live = weights(model.generator)
    with pytest.raises(ZeroDivisionError), model.averaged():
        raise ZeroDivisionError
    assert same(weights(model.generator), live)


def test_validation_sees_the_average(tmp_path):
    class Watching(Tiny):
        def translate_edits(self, batch):
            self.outputs = super().translate_edits(batch)
            self.source = batch
            return self.outputs

    model = Watching(ema_decay=0.9, lr=0.1)
    data = TinyData()
    trainer = fit(model, tmp_path, 6, data=data)
    trainer.test(model, data, verbose=False)
    source, targets = model.source["image"], data.edits(model.source["label"])
    assert torch.equal(model.outputs["targets"], targets)
    assert model.outputs["seconds"] > 0
    with model.averaged():
        expected = [model.generator(source, label) for label in targets.unbind(1)]
        back = [model.generator(image, model.source["label"]) for image in expected]
    assert torch.equal(model.outputs["images"], torch.stack(expected, 1))
    assert torch.equal(model.outputs["reconstructions"], torch.stack(back, 1))
    assert not torch.allclose(model.outputs["images"][:, 0], model.generator(source, targets[:, 0]))


def test_load_gives_the_averaged_generator_in_eval_mode(tmp_path):
    model = StarGAN(attributes=ATTRIBUTES, n_critic=1, ema_decay=0.9, lr=0.01, **SMALL)
    fit(model, tmp_path, 5).save_checkpoint(tmp_path / "checkpoints" / "step-0000005.ckpt")
    image, label = torch.rand(2, 3, 16, 16) * 2 - 1, torch.eye(2)
    for loaded in (Translator.load(str(tmp_path)), StarGAN.load(str(tmp_path / "checkpoints" / "step-0000005.ckpt"))):
        assert type(loaded) is StarGAN
        assert not loaded.training
        assert loaded.attributes == ATTRIBUTES
        with model.averaged():
            assert torch.equal(loaded(image, Target(label=label)).image, model(image, Target(label=label)).image)
        assert same(weights(loaded.discriminator), weights(model.discriminator))


# ------------------------------------------------------------------------------------------------- what is not finite


def test_a_batch_of_nan_is_skipped_and_counted(tmp_path):
    seen = Snapshots()
    model = Tiny()
    trainer = fit(model, tmp_path, 6, callbacks=[Poison([3]), seen])
    assert trainer.global_step == 6
    assert [bool(seen.moved(step)) for step in range(6)] == [True, True, True, False, True, True]
    assert updates(trainer) == [5, 5]
    assert trainer.callback_metrics["skipped_updates"] == 2  # one of each player
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_an_infinite_gradient_of_a_finite_loss_is_skipped_too(tmp_path):
    class Cusp(Tiny):
        def discriminator_loss(self, batch, target):
            terms = super().discriminator_loss(batch, target)
            if self.global_step == 2:
                terms["cls"] = (0 * self.discriminator(batch["image"])[1].sum()).sqrt()  # 0, of infinite slope
            return terms

    seen = Snapshots()
    fit(Cusp(), tmp_path, 4, callbacks=[seen])
    assert [bool(player(seen.moved(step), "discriminator")) for step in range(4)] == [True, True, False, True]


@pytest.mark.parametrize(("slope", "applied"), [(1e9, False), (1e3, True)])
def test_a_gradient_that_would_fill_adams_memory_is_skipped(tmp_path, slope, applied):
    class Steep(Tiny):
        def generator_loss(self, batch, target):
            terms = super().generator_loss(batch, target)
            if self.global_step == 2 + 1:  # the discriminator's update has counted the iteration
                terms["adv"] = terms["adv"] + slope * sum(weight.mean() for weight in self.generator.parameters())
            return terms

    seen = Snapshots()
    model = Steep()
    trainer = fit(model, tmp_path, 4, callbacks=[seen])
    assert [bool(player(seen.moved(step), "generator")) for step in range(4)] == [True, True, applied, True]
    memory = max(state["exp_avg_sq"].max().item() for state in trainer.optimizers[1].state.values())
    assert (memory < 1) == (not applied)


def test_a_call_takes_what_translate_takes_in_any_precision():
    class Faded(Tiny):
        def translate(self, image, target, share=1.0):
            translation = super().translate(image, target)
            return Translation(share * translation.image + (1 - share) * image)

    model, batch = Faded().eval(), make_batch(2, len(ATTRIBUTES))
    target = Target(label=batch["label"])
    with torch.no_grad():
        assert torch.equal(model(batch["image"], target, share=0.0).image, batch["image"])
        assert torch.equal(model(batch["image"].double(), target).image, model(batch["image"], target).image)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda image, label: (image.numpy(), Target(label)),
            r"image must be a tensor, got a ndarray: torch\.from_numpy",
        ),
        (lambda image, label: (image * torch.nan, Target(label)), "image must be finite, got 384 numbers that are not"),
        (lambda image, label: (image, Target(label, image / 0)), "reference must be finite, got 384 numbers"),
        (lambda image, label: (image, Target(label, latent=label / 0)), "latent must be finite, got"),
    ],
)
def test_a_call_with_what_is_no_picture_is_refused(spoil, sentence):
    image, label = torch.full((2, 3, 8, 8), 0.5), torch.ones(2, len(ATTRIBUTES))
    with pytest.raises(ValueError, match=sentence):
        Tiny()(*spoil(image, label))


def test_too_many_in_a_row_stop_training_and_name_the_last_checkpoint(tmp_path):
    model = Tiny(max_skipped=4)
    with pytest.raises(DivergedError, match=r"4 discriminator updates in a row.*step-0000008\.ckpt") as stopped:
        fit(model, tmp_path, 20, callbacks=[Poison([1, 3, *range(5, 20)]), LastCheckpoints(every_n_steps=4)])
    assert "stopped at iteration" in str(stopped.value)
    assert "discriminator/adv = nan" in str(stopped.value)
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_a_generator_that_alone_diverges_stops_training_too(tmp_path):
    class Half(Tiny):
        def generator_loss(self, batch, target):
            return {name: term / 0 for name, term in super().generator_loss(batch, target).items()}

    with pytest.raises(DivergedError, match="generator/adv"):
        fit(Half(max_skipped=3), tmp_path, 20)


def test_divergence_before_any_checkpoint_says_so(tmp_path):
    with pytest.raises(DivergedError, match="No checkpoint had been written yet"):
        fit(Tiny(max_skipped=2), tmp_path, 20, callbacks=[Poison(list(range(20)))])


# ------------------------------------------------------------------------------------------------ precision and layout


def test_bf16_trains_with_the_penalty_in_float32(tmp_path):
    model = StarGAN(attributes=ATTRIBUTES, n_critic=1, **SMALL)
    dtypes = []
    model.discriminator.conv1.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    trainer = fit(model, tmp_path, 2, precision="bf16-mixed")
    one_iteration = [torch.bfloat16, torch.float32, torch.bfloat16]  # the critic's scores, its penalty, the generator's
    assert dtypes == one_iteration * 2
    assert math.isfinite(trainer.callback_metrics["discriminator/gp"])
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert updates(trainer) == [2, 2]


class TestHalfPrecision:
    """float16 with a loss scaler, which also exists on the CPU."""

    def half(self):
        return MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu", init_scale=2.0**8))

    def run(self, model, folder, steps, *callbacks):
        return fit(model, folder, steps, callbacks=callbacks, plugins=[self.half(), AtomicCheckpointIO()])

    def test_clips_what_the_scaler_has_unscaled(self, tmp_path):
        seen = Snapshots()
        self.run(TinySGD(lr=1.0, clip_norm=1e-2), tmp_path, 2, seen)
        before, after = seen.weights[:2]
        d = player(before, "discriminator")
        norm = math.sqrt(sum((after[name] - before[name]).square().sum() for name in d))
        assert norm == pytest.approx(1e-2, rel=1e-2)

    def test_counts_iterations(self, tmp_path):
        trainer = self.run(Tiny(n_critic=2), tmp_path, 4)
        assert trainer.global_step == 4
        assert updates(trainer) == [4, 2]

    def test_skips_a_batch_of_nan(self, tmp_path):
        seen = Snapshots()
        trainer = self.run(Tiny(), tmp_path, 5, Poison([2]), seen)
        assert [bool(seen.moved(step)) for step in range(5)] == [True, True, False, True, True]
        assert trainer.global_step == 5

    def test_trains_while_a_player_is_frozen(self, tmp_path):
        seen = Snapshots()
        phases = [Phase(2, learns=("generator",)), Phase(2, learns=("discriminator",))]
        trainer = self.run(Tiny(phases=phases), tmp_path, -1, seen)
        moved = [{name.split(".")[0] for name in seen.moved(step)} for step in range(4)]
        assert moved == [{"generator"}] * 2 + [{"discriminator"}] * 2
        assert trainer.global_step == 4


def test_channels_last_changes_the_layout_and_nothing_else(tmp_path):
    seen = Snapshots()
    plain, laid_out = (StarGANSGD(attributes=ATTRIBUTES, channels_last=on, lr=0.01, **SMALL) for on in (False, True))
    laid_out.load_state_dict(plain.state_dict())
    fit(plain, tmp_path, 5, precision="64-true")
    fit(laid_out, tmp_path, 5, callbacks=[seen], precision="64-true")
    assert laid_out.generator.main[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert seen.batches[0]["image"].is_contiguous(memory_format=torch.channels_last)
    assert difference(weights(plain), weights(laid_out)) < 1e-10


def test_compiled_players_train_like_plain_ones(tmp_path, monkeypatch):
    """Through the compiler's front and its autograd, where double backward breaks, without its slow code generator."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compile_module(module, backend="aot_eager"))
    small = {**SMALL, "depth": 1, "generator_width": 2}
    plain, compiled = (StarGANSGD(ATTRIBUTES, compile=on, n_critic=1, lr=0.01, **small) for on in (False, True))
    compiled.load_state_dict(plain.state_dict())
    for model in (plain, compiled):
        fit(model, tmp_path, 1)
    assert compiled.generator._compiled_call_impl is not None
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert difference(weights(plain), weights(compiled)) < 1e-5


# -------------------------------------------------------------------------------------------------------- construction


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attributes": ()}, "attributes must be a list of names, at least one"),
        ({"attributes": "Smiling"}, "attributes must be a list of names"),
        ({"phases": []}, "phases is empty"),
        ({"n_critic": 0}, "n_critic must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"max_skipped": 0}, "max_skipped must be at least 1"),
        ({"lr": math.nan}, "lr must be a finite number above 0, got nan"),
        ({"lr": math.inf}, "lr must be a finite number above 0, got inf"),
        ({"lambda_cls": math.inf}, "lambda_cls must be a finite number, such as 1, got inf"),
        ({"clip_norm": -1.0}, "clip_norm must be at least 0, got -1"),
        ({"lambda_rec": -1.0}, "lambda_rec must be at least 0, got -1"),
        ({"lambda_rec": math.nan}, "lambda_rec must be at least 0, got nan"),
        ({"ema_decay": 1.0}, r"ema_decay must lie in \[0, 1\), got 1.0"),
    ],
)
def test_impossible_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Tiny(**settings)


@pytest.mark.parametrize("part", ["label", "reference", "latent", "source_label"])
def test_a_target_is_made_of_tensors(part):
    with pytest.raises(ValueError, match=rf"the target's {part} must be a tensor, got a list: torch\.tensor"):
        Target(**{part: [[1.0, 0.0]]})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 5, "learns": "generator"}, "learns must be a list of names, got 'generator'"),
        ({"steps": 5, "decay": 6}, r"0\.\.5"),
        ({"steps": 5, "final": 1.5}, r"0\.\.1 of"),
        ({"steps": 5, "final": 0.5}, "needs a decay"),
        ({"steps": 5, "rate": 0.0}, "rate must be a finite factor on lr, above 0"),
        ({"steps": 5, "rate": float("inf")}, "above 0, got inf"),
    ],
)
def test_impossible_phases_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Phase(**settings)


def test_both_players_have_adam_with_the_given_settings(tmp_path):
    model = Tiny(lr=0.003, betas=(0.4, 0.99))
    trainer = fit(model, tmp_path, 1)
    assert [type(optimizer) for optimizer in trainer.optimizers] == [Adam, Adam]
    assert {(group["lr"], group["betas"]) for o in trainer.optimizers for group in o.param_groups} == {
        (0.003, (0.4, 0.99))
    }


def test_names_are_imported_when_asked_for_and_unknown_ones_refused():
    assert translators.StarGAN is StarGAN
    with pytest.raises(AttributeError, match="no attribute 'CarGAN'"):
        translators.CarGAN  # noqa: B018


# ------------------------------------------------------------------------------------- stairs, and a start from weights


def test_on_stairs_the_rate_is_lowered_at_equal_intervals(tmp_path):
    seen = Snapshots()
    fit(Tiny(lr=0.9, phases=[Phase(2), Phase(8, decay=6, stairs=3)]), tmp_path, callbacks=[seen])
    assert seen.rates == pytest.approx([0.9] * 6 + [0.6] * 2 + [0.3] * 2)


def test_a_phase_may_have_a_rate_of_its_own(tmp_path):
    """As an exact factor on the model's, from which its decay starts."""
    seen = Snapshots()
    phases = [Phase(2), Phase(2, rate=0.25), Phase(4, rate=0.5, decay=4, final=0.5)]
    fit(Tiny(lr=0.8, phases=phases), tmp_path, callbacks=[seen])
    assert seen.rates == pytest.approx([0.8, 0.8, 0.2, 0.2, 0.4, 0.35, 0.3, 0.25])


def test_stairs_lead_from_the_full_rate_towards_the_final_one():
    model = Tiny(phases=[Phase(100, decay=80, stairs=4, final=0.2)])
    stairs = {20: 1.0, 39: 1.0, 40: 0.8, 59: 0.8, 60: 0.6, 79: 0.6, 80: 0.4, 99: 0.4}
    assert {step: model.lr_scale(step) for step in stairs} == pytest.approx(stairs)
    assert model.lr_scale(100) == pytest.approx(0.2)


def test_as_many_stairs_as_iterations_are_a_slope():
    smooth, stepped = (Tiny(phases=[Phase(9, decay=7, stairs=stairs)]) for stairs in (0, 7))
    assert [smooth.lr_scale(step) for step in range(10)] == [stepped.lr_scale(step) for step in range(10)]


@pytest.mark.parametrize(("decay", "stairs"), [(6, 4), (6, 7), (6, -1)])
def test_stairs_are_equal_parts_of_the_decay(decay, stairs):
    with pytest.raises(ValueError, match=f"phase 'late': stairs must divide its decay, 6, into equal .* got {stairs}"):
        Phase(8, name="late", decay=decay, stairs=stairs)


@pytest.fixture
def trained(tmp_path):
    """A StarGAN of another run, whose folder is returned with it."""
    torch.manual_seed(1)
    model = StarGAN(attributes=ATTRIBUTES, n_critic=1, ema_decay=0.9, lr=0.01, **SMALL)
    folder = tmp_path / "trained"
    fit(model, folder, 4, callbacks=[LastCheckpoints(every_n_steps=4)])
    return model, folder


def players(model):
    """The weights that are published: those of the discriminator, and the generator's average."""
    with model.averaged():
        return weights(model)


@pytest.mark.parametrize("source", ["", "checkpoints/step-0000004.ckpt"])
def test_a_new_run_starts_from_another_runs_published_weights(trained, tmp_path, source):
    (model, folder), seen = trained, Snapshots()
    new = StarGAN(attributes=("Male", "Old"), start=str(folder / source), n_critic=1, lr=0.5, **SMALL)
    trainer = fit(new, tmp_path / "new", 3, callbacks=[seen])
    assert same(seen.weights[0], players(model))
    assert trainer.global_step == 3
    assert updates(trainer) == [3, 3]  # Adam's moments are its own
    assert seen.rates == [0.5] * 3
    assert new.attributes == ("Male", "Old")


def test_a_resumed_run_goes_on_with_its_own_weights(trained, tmp_path):
    _, folder = trained
    seen, settings = Snapshots(), {"attributes": ATTRIBUTES, "start": str(folder), **SMALL}
    first, again = StarGAN(**settings), StarGAN(**settings)
    trainer = fit(first, tmp_path / "new", 2)
    trainer.save_checkpoint(tmp_path / "step-0000002.ckpt")
    fit(again, tmp_path / "new", 3, callbacks=[seen], resume=tmp_path / "step-0000002.ckpt")
    assert same(seen.weights[0], weights(first))


def test_where_a_run_started_from_is_no_part_of_its_checkpoints(trained, tmp_path):
    _, folder = trained
    new = StarGAN(attributes=ATTRIBUTES, start=str(folder), **SMALL)
    fit(new, tmp_path / "new", 1).save_checkpoint(tmp_path / "step-0000001.ckpt")
    folder.rename(tmp_path / "elsewhere")
    assert same(weights(StarGAN.load(str(tmp_path / "step-0000001.ckpt"))), weights(new))


def test_only_training_starts_from_weights(tmp_path):
    """A run that tests has a checkpoint of its own."""
    model = StarGAN(attributes=ATTRIBUTES, start=str(tmp_path / "gone"), **SMALL)
    quietly = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    before = weights(model)
    Trainer(default_root_dir=tmp_path, **quietly).test(model, TinyData(), verbose=False)
    assert same(weights(model), before)
    with pytest.raises(FileNotFoundError, match="gone"):
        fit(model, tmp_path, 1)


def test_a_model_takes_over_weights_that_fit_it_alone(trained):
    model, _ = trained
    fitting = StarGAN(attributes=("Male", "Old"), **SMALL)
    fitting.start_from(model)
    assert same(weights(fitting), weights(model))
    wider = StarGAN(attributes=ATTRIBUTES, **{**SMALL, "generator_width": 6})
    before = weights(wider)
    with pytest.raises(ValueError, match=r"does not fit: .* What differs: .*generator_width 4, here 6"):
        wider.start_from(model)
    with pytest.raises(ValueError, match=r"does not fit: .*attributes .*Smiling.*, here .*Male"):
        StarGAN(attributes=("Male",), **SMALL).start_from(model)
    with pytest.raises(ValueError, match=r"in another order than Young, Smiling: .*attributes=\[Smiling,Young\]"):
        StarGAN(attributes=ATTRIBUTES[::-1], **SMALL).start_from(model)
    with pytest.raises(ValueError, match="this checkpoint is of StarGAN, the model is Tiny"):
        Tiny().start_from(model)
    assert same(weights(wider), before)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attributes": ATTRIBUTES[::-1]}, r"attributes \['Smiling', 'Young'\], the model has \['Young', 'Smiling'\]"),
        ({"attributes": ATTRIBUTES, "one_hot": True}, "one_hot False, the model has True"),
    ],
)
def test_a_run_is_not_resumed_with_labels_of_another_meaning(trained, tmp_path, settings, told):
    _, folder = trained
    model = StarGAN(**settings, **SMALL)
    with pytest.raises(ValueError, match=told):
        fit(model, tmp_path, 9, resume=checkpoints.newest(folder))


def test_what_a_loss_notes_is_logged_beside_its_terms(tmp_path):
    class Noting(Tiny):
        def generator_loss(self, batch, target):
            terms = super().generator_loss(batch, target)
            self.note(brightest=batch["image"].amax())
            return terms

    class Seen(Callback):
        def on_train_batch_end(self, trainer, *_):
            self.logged = dict(trainer.logged_metrics)

    seen, data = Seen(), TinyData()
    fit(Noting(), tmp_path, 1, data=data, callbacks=[seen])
    assert "discriminator/brightest" not in seen.logged
    assert 0 < seen.logged["generator/brightest"] <= 1


def test_labels_of_several_datasets_need_a_model_that_keeps_them_apart(tmp_path):
    data = TinyData()
    data.parts = ((1, False), (1, False))
    with pytest.raises(ValueError, match="ADSPM cannot keep apart the labels of several datasets"):
        fit(ADSPM(ATTRIBUTES, **SMALL), tmp_path, 1, data=data)


# ------------------------------------------------------------------------------- hooks, and models of other kinds


def test_a_model_hears_what_each_player_lost_in_the_updates_that_were_applied(tmp_path):
    class Listening(Tiny):
        heard: tuple = ()

        def observe(self, player, terms):
            logged = self.trainer.callback_metrics
            agree = all(terms[name] == logged[f"{player}/{name}"] for name in terms)
            self.heard += ((self.global_step, player, agree, terms["adv"].requires_grad),)

    model = Listening(n_critic=2)
    fit(model, tmp_path, 5, callbacks=[Poison([2])])
    steps = {"discriminator": [0, 1, 3, 4], "generator": [2, 4]}  # the generator's turn comes after the count
    for player, expected in steps.items():
        assert [step for step, who, *_ in model.heard if who == player] == expected
    assert all(agree and not grad for *_, agree, grad in model.heard)


def test_a_phase_is_said_to_start_once_even_if_the_run_was_stopped_within_it(tmp_path):
    class Told(Tiny):
        def __init__(self, **settings):
            super().__init__(phases=[Phase(3, name="first"), Phase(4, name="second")], **settings)
            self.told = []

        def on_phase_start(self, phase):
            self.told.append((self.global_step, phase.name))

    first, second, whole = Told(), Told(), Told()
    fit(whole, tmp_path / "whole")
    assert whole.told == [(0, "first"), (3, "second")]
    fit(first, tmp_path, 2).save_checkpoint(tmp_path / "step-0000002.ckpt")
    fit(second, tmp_path, resume=tmp_path / "step-0000002.ckpt")
    assert first.told + second.told == whole.told


class ByReference(Tiny):
    """Takes the reference for the result."""

    guide = "reference"

    def translate(self, image, target):
        reference = image if target.reference is None else target.reference  # the loss's way back names none
        drawn = 0 * super().translate(image, target).image
        return Translation(image=reference + drawn, mask=torch.full_like(image[:, :1], 0.25))


def edits_of(model, folder, data):
    """What the model returned for the first validation batch, and that batch."""
    seen = []

    class Look(Callback):
        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, *_):
            seen.append((outputs, batch))

    fit(model, folder, 1, data=data, callbacks=[Look()], limit_val_batches=1, val_check_interval=1)
    return seen[0]


def test_where_a_reference_decides_its_translation_stands_for_what_it_changes(tmp_path):
    found, batch = edits_of(ByReference(), tmp_path, TinyData())
    label, reference_label = batch["label"], batch["reference_label"]
    assert found["images"].shape[:2] == found["masks"].shape[:2] == found["reconstructions"].shape[:2] == (4, 2)
    for row in range(4):
        for edit in range(2):
            differs = label[row, edit] != reference_label[row, edit]
            assert torch.equal(found["targets"][row, edit], reference_label[row] if differs else label[row])
            assert torch.equal(found["images"][row, edit], batch["reference"][row])
            assert torch.equal(found["reconstructions"][row, edit], batch["image"][row])
    assert (label != reference_label).any()


def test_a_reference_of_another_domain_counts_for_that_domain_alone():
    label, reference_label = torch.eye(3)[[0, 1, 2]], torch.eye(3)[[0, 2, 0]]
    edits = base._towards(reference_label, label, one_hot=True)
    asked = (edits != label[:, None]).any(2)
    assert asked.tolist() == [[False] * 3, [False, False, True], [True, False, False]]
    assert torch.equal(edits[1, 2], reference_label[1])
    assert torch.equal(edits[2, 0], reference_label[2])


def test_a_one_way_model_returns_no_way_back_and_only_the_edits_it_can_make(tmp_path):
    class OneWay(Tiny):
        returns = False

        def attainable(self, label, edits):
            return torch.where(edits.sum(2, keepdim=True) > 1, label[:, None], edits)

    data = TinyData()
    found, batch = edits_of(OneWay(), tmp_path, data)
    assert "reconstructions" not in found
    edits = data.edits(batch["label"])
    both = edits.sum(2) > 1
    assert both.any()
    assert torch.equal(found["targets"][~both], edits[~both])
    assert torch.equal(found["targets"][both], batch["label"][:, None].expand_as(edits)[both])
