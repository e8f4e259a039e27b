"""Where a run stands: by epochs, and by a clock that the test holds."""

import pytest

from reidprep.errors import ReidError
from reidtrain.training import pace
from reidtrain.training.pace import POSITION, Pace, epochs_before, finished, next_stage


def rows(*stages):
    return [{"stage": stage, POSITION: position} for stage, position in stages]


def test_epochs_decide_without_a_time(tiny):
    recipe = tiny()  # two epochs and one

    assert [next_stage(recipe, rows(*[("x", 0.0)] * done)) for done in range(4)] == [0, 0, 1, 2]
    assert [finished(recipe, rows(*[("x", 0.0)] * done)) for done in (2, 3)] == [False, True]
    assert [epochs_before(recipe, [], stage) for stage in (0, 1)] == [0, 2]


def test_with_a_time_it_is_the_schedule_that_decides(tiny):
    recipe = tiny(training={"max_minutes": 1.0})
    history = rows(("softmax", 0.5), ("softmax", 1.4), ("softmax", 2.0), ("ranking", 2.6))

    assert [next_stage(recipe, history[:done]) for done in range(5)] == [0, 0, 0, 1, 1]
    assert epochs_before(recipe, history, 1) == 3
    assert not finished(recipe, history)
    assert finished(recipe, [*history, *rows(("ranking", 3.0))])


@pytest.fixture
def clock(monkeypatch):
    """Sets the time."""

    def show(seconds):
        monkeypatch.setattr(pace, "monotonic", lambda: seconds)

    return show


def test_the_clock_leaves_time_for_the_last_validation(tiny, clock):
    at = Pace(tiny(training={"max_minutes": 1.0}), [], 100.0, validation_images=300)
    clock(100.0)
    at.step_done()

    clock(130.0)
    assert at.position() == pytest.approx(3 * 30 / 60)
    at.rate = 20.0
    assert at.position() == pytest.approx(3 * 30 / 45)  # 300 images take 15 s
    at.last_validation = 10.0
    assert at.position() == pytest.approx(3 * 30 / 50)
    assert at.position(validated=True) == pytest.approx(3 * 40 / 50)
    at.last_validation = 1000.0
    assert at.position() == 3


def test_a_later_sitting_counts_what_was_done_before(tiny, clock):
    at = Pace(tiny(training={"max_minutes": 1.0}), rows(("softmax", 1.2)), 80.0, validation_images=0)
    clock(80.0)
    at.step_done()
    clock(100.0)

    assert at.position() == pytest.approx(1.2 + 3 * 20 / 60)


def test_a_first_step_that_prepares_all_others_takes_nothing_of_the_schedule(tiny, clock):
    at = Pace(tiny(training={"max_minutes": 1.0}), [], 100.0, validation_images=0)

    clock(120.0)  # compiled for 20 s
    assert at.position() == 0
    at.step_done()
    assert at.position() == 0
    clock(140.0)
    at.step_done()
    assert at.position() == pytest.approx(3 * 20 / 40)
    clock(160.0)
    assert at.position() == 3


def test_stages_of_one_name_cannot_be_told_apart(tiny):
    stage = {"epochs": 1, "batch": {"size": 4}}
    with pytest.raises(ReidError, match="names of their own"):
        tiny(stages=[stage, stage], training={"max_minutes": 1.0})
