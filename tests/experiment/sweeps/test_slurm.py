import pytest

from beyondlinear.experiment.sweeps.jobs import SweepRun
from beyondlinear.experiment.sweeps.slurm import _shares


@pytest.mark.parametrize(
    ("runs_per_task", "max_tasks", "numbers"),
    [
        (None, 2, [[0, 2, 4], [1, 3]]),  # dealt out in turn
        (None, 200, [[0], [1], [2], [3], [4]]),
        (4, 200, [[0, 2, 4], [1, 3]]),
    ],
)
def test_runs_are_dealt_out_to_tasks(runs_per_task, max_tasks, numbers):
    runs = [SweepRun(number, []) for number in range(5)]
    shares = _shares(runs, runs_per_task, max_tasks)
    assert [[run.number for run in share] for share in shares] == numbers
