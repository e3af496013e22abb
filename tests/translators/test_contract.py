"""What every translator must do, asked of each one that the package exports."""

import inspect

import pytest
import torch
from torch import Tensor

import translators
from tiny import ATTRIBUTES, Snapshots, TinyData, fit, weights
from translators import Phase, Target, Translator

SMALL = {  # least values of the sizes that constructors may have
    "image_size": 16,
    "width": 4,
    "generator_width": 4,
    "discriminator_width": 4,
    "blocks": 1,
    "depth": 2,
}


def concrete() -> list[type[Translator]]:
    exported = (getattr(translators, name) for name in translators.__all__)
    classes = [value for value in exported if isinstance(value, type) and issubclass(value, Translator)]
    return [value for value in classes if not inspect.isabstract(value)]


def settings(model: type[Translator]) -> dict[str, object]:
    return {name: value for name, value in SMALL.items() if name in inspect.signature(model).parameters}


@pytest.fixture(params=concrete(), ids=lambda model: model.__name__)
def make(request):
    def build(**more):
        torch.manual_seed(0)
        return request.param(**{"attributes": list(ATTRIBUTES), **settings(request.param), **more})

    return build


def batch() -> dict[str, Tensor]:
    data = TinyData()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def target(model: Translator, given) -> Target:
    torch.manual_seed(1)
    return model.sample_target(given)


def differentiate(loss) -> None:
    torch.stack(list(loss.values())).sum().backward()


def test_there_is_something_to_ask():
    assert concrete()


def test_translation_has_the_shapes_and_ranges_of_the_contract(make):
    model, given = make(), batch()
    translation = model(given["image"], target(model, given))
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


def test_translation_is_differentiable(make):
    model, given = make(), batch()
    model(given["image"], target(model, given)).image.sum().backward()
    assert any(parameter.grad is not None for parameter in model.generator.parameters())


def test_training_and_evaluation_give_the_same_image(make):
    model, given = make(), batch()
    wanted = target(model, given)
    assert torch.equal(
        model.train().translate(given["image"], wanted).image, model.eval().translate(given["image"], wanted).image
    )


def test_the_rest_of_a_batch_does_not_matter(make):
    model, given = make().eval(), batch()
    wanted = target(model, given)
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
    expected = {name for name in weights(model) if name.startswith(f"{part}.")}
    assert seen.moved(0) == expected


def test_terms_are_finite_scalars_and_every_one_has_its_lambda(make):
    given = batch()
    model = make(**dict.fromkeys(lambdas(make()), 1.0))
    wanted, used = target(model, given), set()
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
    """Nothing but the adversarial term pulls: the loss terms' weights really are read from the lambdas."""
    seen = Snapshots()
    none = {name: 0.0 for name in lambdas(make()) if name != "lambda_adv"}
    fit(make(n_critic=1, **none), tmp_path, 1, callbacks=[seen])
    heavy = Snapshots()
    fit(make(n_critic=1), tmp_path, 1, callbacks=[heavy])
    assert any(not torch.equal(seen.weights[1][name], heavy.weights[1][name]) for name in seen.weights[1])


def test_a_checkpoint_reloads_to_the_same_picture(make, tmp_path):
    model, given = make(n_critic=1, lr=0.01), batch()
    fit(model, tmp_path, 2).save_checkpoint(tmp_path / "step-0000002.ckpt")
    again = Translator.load(str(tmp_path / "step-0000002.ckpt"))
    wanted = target(model, given)
    assert type(again) is type(model)
    assert torch.equal(again(given["image"], wanted).image, model.eval()(given["image"], wanted).image)
