"""What every translator must do, asked of each one that the package exports."""

import inspect

import pytest
import torch
from torch import nn

from tiny import Snapshots, data_for, exported, fit, small, weights
from translators import Phase, Target, Translator
from translators.types import Batch


@pytest.fixture(params=exported(), ids=lambda model: model.__name__)
def make(request):
    def build(**more):
        torch.manual_seed(0)
        return small(request.param, **more)

    return build


def batch(model: Translator) -> Batch:
    data = data_for(type(model))
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def wish(given: Batch) -> Target:
    """What a user may ask for: another picture's label, and that picture; training may add noise of its own."""
    return Target(label=given["reference_label"], reference=given["reference"])


def test_there_is_something_to_ask():
    assert exported()


def test_translation_has_the_shapes_and_ranges_of_the_contract(make):
    model = make()
    given = batch(model)
    translation = model(given["image"], wish(given))
    count, _, height, width = given["image"].shape
    assert translation.image.shape == given["image"].shape
    assert -1 <= translation.image.min() <= translation.image.max() <= 1
    if translation.mask is not None:
        assert translation.mask.shape == (count, 1, height, width)
        assert 0 <= translation.mask.min() <= translation.mask.max() <= 1
    if translation.flow is not None:
        assert translation.flow.shape == (count, 2, height, width)
    for picture in translation.extras.values():
        assert picture.shape[0] == count
        assert picture.shape[1] in (1, 3)


def test_pictures_and_masks_are_in_full_precision_whatever_the_autocast(make):
    """A half's steps are wider than an 8-bit picture's, and where it saturates nothing comes back."""
    model = make()
    given = batch(model)
    with torch.autocast("cpu", torch.bfloat16):
        translation = model(given["image"], wish(given))
    for shown in (translation.image, translation.mask, translation.flow):
        assert shown is None or shown.dtype == torch.float32


def test_translation_is_differentiable(make):
    model = make()
    given = batch(model)
    model(given["image"], wish(given)).image.sum().backward()
    assert any(parameter.grad is not None for parameter in model.generator.parameters())


def test_training_and_evaluation_give_the_same_image(make):
    model = make()
    if any(isinstance(module, nn.BatchNorm2d) for module in model.generator.modules()):
        pytest.skip(
            "a batch norm goes by the batch in training, and by running statistics or each image's own after it"
        )
    given = batch(model)
    wanted = wish(given)
    assert torch.equal(
        model.train().translate(given["image"], wanted).image, model.eval().translate(given["image"], wanted).image
    )


def test_the_rest_of_a_batch_does_not_matter(make):
    model = make().eval()
    given = batch(model)
    wanted = wish(given)
    alone = Target(**{name: None if value is None else value[:1] for name, value in vars(wanted).items()})
    whole = model(given["image"], wanted).image[:1]
    assert torch.allclose(model(given["image"][:1], alone).image, whole, atol=1e-5)


def test_each_players_update_leaves_the_other_alone(make, tmp_path):
    """On odd batches of ``n_critic`` 2 only the discriminator learns; with ``learns`` only the generator."""
    for learns, moving in ((("discriminator",), {"discriminator"}), (("generator",), {"generator"})):
        seen = Snapshots()
        fit(make(n_critic=1, phases=[Phase(1, learns=learns)]), tmp_path, callbacks=[seen])
        assert {name.split(".")[0] for name in seen.moved(0)} == moving
    seen = Snapshots()
    fit(make(n_critic=2), tmp_path, 1, callbacks=[seen])
    assert {name.split(".")[0] for name in seen.moved(0)} == {"discriminator"}


def test_a_step_moves_only_the_part_that_learns(make, tmp_path):
    model = make(n_critic=1)
    part = next(name for name, module in model.named_modules() if name.count(".") > 1 and list(module.parameters()))
    seen = Snapshots()
    fit(make(n_critic=1, phases=[Phase(2, learns=(part,))]), tmp_path, callbacks=[seen])
    inside = {name for name in weights(model) if name.startswith(f"{part}.")}
    assert seen.moved(0) <= inside
    assert {name for name in inside if name.endswith("weight")} <= seen.moved(0)  # a bias before a norm does nothing


def test_terms_are_finite_scalars_and_every_one_has_its_lambda(make):
    model = make(**dict.fromkeys(lambdas(make()), 1.0))
    given, used = batch(model), set()
    wanted = model.sample_target(given)
    for loss in (model.discriminator_loss, model.generator_loss):
        for term, value in loss(given, wanted).items():
            used.add(term)
            assert value.shape == ()
            assert value.isfinite()
            assert model.weight(term) == 1.0
    assert {name.removeprefix("lambda_") for name in lambdas(model)} <= used
    assert used - {name.removeprefix("lambda_") for name in lambdas(model)} <= {"adv"}


def lambdas(model: Translator) -> list[str]:
    return [name for name in inspect.signature(type(model)).parameters if name.startswith("lambda_")]


def test_a_lambda_of_zero_takes_its_term_out(make, tmp_path):
    """The terms' weights really are read from the lambdas: without any one of them a step ends elsewhere."""
    all_on, ends = dict.fromkeys(lambdas(make()), 1.0), []
    for chosen in (all_on, *({**all_on, name: 0.0} for name in all_on)):
        model = make(n_critic=1, **chosen)
        fit(model, tmp_path, 1)
        ends.append(weights(model))
    for end in ends[1:]:
        assert any(not torch.equal(end[name], ends[0][name]) for name in end)


def test_a_step_in_mixed_precision_is_close_to_one_in_full(make, tmp_path, request):
    """A half's numbers (bfloat16) lie 1/256 to 1/128 apart; of what adds up, a term may be off by 1 % or by 0.005;
    of LOMIT, whose norms divide by the deviation of 8 x 8 places, by 0.008."""
    found = []
    for precision in ("32-true", "bf16-mixed"):
        seen = Snapshots()
        trainer = fit(make(n_critic=1), tmp_path, 1, callbacks=[seen], precision=precision)
        assert all(weight.isfinite().all() for weight in seen.weights[1].values())
        assert {name for name in seen.weights[1] if name.endswith("weight")} <= seen.moved(0)
        found.append({name: value.item() for name, value in trainer.callback_metrics.items()})
    full, mixed = found
    assert {name.split("/")[0] for name in full} == {"discriminator", "generator"}
    assert full != mixed
    assert mixed == pytest.approx(full, rel=0.01, abs=0.008 if "LOMIT" in request.node.name else 0.005)


def test_a_checkpoint_reloads_to_the_same_picture(make, tmp_path):
    model = make(n_critic=1, lr=0.01)
    given = batch(model)
    fit(model, tmp_path, 2).save_checkpoint(tmp_path / "step-0000002.ckpt")
    again = Translator.load(str(tmp_path / "step-0000002.ckpt"))
    wanted = wish(given)
    assert type(again) is type(model)
    assert torch.equal(again(given["image"], wanted).image, model.eval()(given["image"], wanted).image)
