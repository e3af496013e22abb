import pytest
import torch

from metrics.averages import Averages


class Height(Averages):
    figures = ("height", "width")

    def update(self, values, attribute, measured=None):
        self.add("height", values, attribute, measured)


def test_each_attribute_weighs_the_same_however_often_it_was_measured():
    heights = Height(("A", "B", "C"))
    heights.update(torch.tensor([1.0, 3.0, 10.0]), torch.tensor([0, 0, 2]))
    assert heights.compute() == {"height": 6.0, "height/A": 2.0, "height/C": 10.0}  # no B, no width


def test_what_was_not_measured_is_left_out_even_if_it_is_no_number():
    heights = Height(("A",))
    heights.update(torch.tensor([1.0, float("nan")]), torch.tensor([0, 0]), torch.tensor([True, False]))
    assert heights.compute() == {"height": 1.0, "height/A": 1.0}


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_measured_is_no_figure():
    assert Height(("A",)).compute() == {}


def test_a_measured_nan_is_not_hidden():
    heights = Height(("A",))
    heights.update(torch.tensor([1.0, float("nan")]), torch.tensor([0, 0]))
    assert heights.compute()["height"] != heights.compute()["height"]


def test_parts_merge_to_the_whole():
    values, attribute = torch.rand(10, generator=torch.Generator().manual_seed(0)), torch.arange(10) % 3
    whole, one, other = (Height(("A", "B", "C")) for _ in range(3))
    whole.update(values, attribute)
    one.update(values[:4], attribute[:4])
    other.update(values[4:], attribute[4:])
    one.merge_state(other)
    assert one.compute() == pytest.approx(whole.compute(), abs=1e-15)
