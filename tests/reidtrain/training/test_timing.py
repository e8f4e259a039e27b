"""The clock of an epoch, which the test holds."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from reidprep.progress import unseen
from reidtrain.data.samplers import ShuffledBatchSampler
from reidtrain.training import timing
from reidtrain.training.module import StageModule
from reidtrain.training.pace import Pace
from reidtrain.training.timing import Timing, reads_clock


def test_an_epoch_that_begins_slowly_does_not_change_what_the_end_is_expected_to_take(tiny, monkeypatch):
    """The first batch of an epoch, which the workers have yet to decode, says little of how fast training is."""
    now = [0.0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    recipe = tiny(training={"max_minutes": 1.0})
    module = StageModule(torch.nn.Identity(), None, None, recipe, 0, 0, 0, None, 0, None, None)
    module.sampler = ShuffledBatchSampler(400, 4, seed=0)
    trainer = SimpleNamespace(world_size=1, strategy=SimpleNamespace(broadcast=lambda value: value))
    at = Timing(unseen, Pace(recipe, [], 0.0, validation_images=100))

    def step(number, seconds):
        now[0] += seconds
        at.on_train_batch_end(trainer, module, None, range(4), number)

    at.on_train_start(trainer, module)
    at.on_train_epoch_start(trainer, module)
    step(0, 60.0)  # compiled
    for number in range(1, 100):
        step(number, 1.0)
    assert at.pace.rate == pytest.approx(4.0)
    now[0] += 500.0  # validated
    at.on_train_epoch_start(trainer, module)
    step(0, 10.0)
    assert at.pace.rate == pytest.approx(400 / 109)


@pytest.mark.parametrize(
    ("done", "steps", "processes", "read"),
    [(1, 8, 1, True), (1, 8, 2, False), (8, 8, 2, True), (20, 40, 2, True), (21, 40, 2, False)],
)
def test_several_processes_look_at_the_time_now_and_then_and_at_an_epochs_end(done, steps, processes, read):
    assert reads_clock(done, steps, processes) == read
