from dataclasses import astuple, fields

import pytest

from datamodules.drawn.identity import ACTION_UNITS, ATTRIBUTES, EXCLUSIVE, Identity, complete


def test_a_person_is_a_function_of_seed_and_index():
    assert Identity.sample(3, 7) == Identity.sample(3, 7)
    assert len({Identity.sample(seed, index) for seed in range(4) for index in range(50)}) == 200


def test_every_trait_stays_in_its_range_and_uses_it():
    people = [astuple(Identity.sample(0, index)) for index in range(400)]
    for column, entry in enumerate(fields(Identity)):
        low, high = entry.metadata["range"]
        values = [person[column] for person in people]
        assert low <= min(values) <= low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) - (entry.type == "int") <= max(values) <= high
        assert all(isinstance(value, int if entry.type == "int" else float) for value in values)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        Identity.sample(-1, 0)


def test_expressions_are_neutral_and_looks_vary_when_not_asked_for():
    people = [complete(Identity.sample(0, index), {}) for index in range(300)]
    for name in ATTRIBUTES:
        share = sum(person[name] for person in people) / len(people)
        neutral = name in ACTION_UNITS or name in ("Smiling", "Mouth_Slightly_Open")
        assert share == 0 if neutral else 0.03 < share < 0.97, name


def test_what_is_asked_for_is_kept_and_its_group_follows():
    for index in range(100):
        person = Identity.sample(1, index)
        for group in EXCLUSIVE:
            for name in group:
                values = complete(person, {name: 1.0})
                assert values[name] == 1.0 and sum(values[member] for member in group) == 1.0


def test_asking_about_a_beard_leaves_no_secrets():
    for index in range(50):
        values = complete(Identity.sample(1, index), {"Goatee": 0.0})
        assert (values["No_Beard"], values["Mustache"]) == (1.0, 0.0)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"'smilling'; nearest is 'Smiling'.*AU45"):
        complete(Identity(), {"smilling": 1.0})


@pytest.mark.parametrize("value", [-0.01, 1.5, float("nan")])
def test_values_outside_the_unit_interval_are_refused(value):
    with pytest.raises(ValueError, match="AU12 must lie in"):
        complete(Identity(), {"AU12": value})


@pytest.mark.parametrize("pair", [("Black_Hair", "Gray_Hair"), ("Bangs", "Receding_Hairline"), ("No_Beard", "Goatee")])
def test_two_of_an_exclusive_group_are_refused(pair):
    with pytest.raises(ValueError, match="at most one of"):
        complete(Identity(), dict.fromkeys(pair, 1.0))
