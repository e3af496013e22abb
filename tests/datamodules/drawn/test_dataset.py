import numpy as np
import pytest

from datamodules.drawn.dataset import chosen_domains, in_turn, one_hot_name


def test_domains_take_turns():
    assert in_turn(5, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert in_turn(5, 3).dtype == np.float32


def test_domains_are_chosen_by_name_and_keep_the_order_asked_for():
    assert chosen_domains(None, ("cat", "dog", "wild")) == ("cat", "dog", "wild")
    assert chosen_domains(["wild", "cat"], ("cat", "dog", "wild")) == ("wild", "cat")
    with pytest.raises(ValueError, match="at least two"):
        chosen_domains(["cat"], ("cat", "dog"))
    with pytest.raises(ValueError, match="did you mean 'cat'"):
        chosen_domains(["cats", "dog"], ("cat", "dog"))


def test_a_label_names_one_domain_or_is_refused():
    assert one_hot_name([0.0, 1.0, 0.0], ("a", "b", "c")) == "b"
    for label in ([0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.5, 0.0]):
        with pytest.raises(ValueError, match="exactly one of a, b, c"):
            one_hot_name(label, ("a", "b", "c"))
