import pytest

from metrics import Throughput


def test_all_images_by_all_seconds():
    throughput = Throughput()
    throughput.update(10, 1.0)
    throughput.update(20, 0.5)
    assert throughput.compute() == {"images_per_second": pytest.approx(20.0)}


def test_no_time_no_rate():
    throughput = Throughput()
    throughput.update(10, 0.0)
    assert throughput.compute() == {}
