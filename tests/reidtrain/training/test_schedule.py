import math

import pytest

pytest.importorskip("torch")

from reidtrain.recipes.schema import Schedule
from reidtrain.training.module import lr_factor


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1), (39.99, 1), (40, 0.1), (79.5, 0.1), (80, 0.01), (99.9, 0.01)])
def test_step(epoch, factor):
    assert lr_factor(Schedule("step", every=40, factor=0.1), epoch, 100) == pytest.approx(factor)


@pytest.mark.parametrize("epoch", [0.0, 2.5, 5.0, 7.5, 10.0])
def test_cosine(epoch):
    assert lr_factor(Schedule("cosine"), epoch, 10) == pytest.approx(0.5 + 0.5 * math.cos(math.pi * epoch / 10))


def test_warmup_rises_linearly_and_then_leaves_the_rate_alone():
    schedule = Schedule("constant", warmup=4)
    assert [lr_factor(schedule, epoch, 10) for epoch in (0.5, 2, 4, 9)] == [0.125, 0.5, 1, 1]
