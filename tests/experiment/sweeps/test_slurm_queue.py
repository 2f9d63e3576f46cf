"""What squeue, sacct and scontrol say, from programs that answer as they do."""

import pytest

from beyondlinear.experiment.sweeps.slurm_queue import array_of, end_of, queue_of


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program on the path that prints a text and ends with a code."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(name: str, text: str, code: int = 0) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        path.chmod(0o755)

    return make


def test_the_tasks_of_these_arrays(program):
    program("squeue", "12_0 RUNNING\n12_1 PENDING\n7 RUNNING\n(null)")
    assert queue_of({"12"}) == {"12_0": "RUNNING", "12_1": "PENDING"}


def test_a_scheduler_that_does_not_answer_is_no_empty_queue(program):
    program("squeue", "slurm_load_jobs error", code=1)
    assert queue_of({"12"}) is None
    program("squeue", "")
    assert queue_of({"12"}) == {}


def test_the_end_by_accounting_or_by_the_controller(program):
    program("sacct", "CANCELLED by 0|0:15")
    assert end_of("12_0") == "CANCELLED by 0 exit code 0:15"
    program("sacct", "accounting is off", code=1)
    program("scontrol", "JobId=12 JobState=FAILED Reason=NonZeroExitCode Dependency=(null)")
    assert end_of("12_0") == "FAILED (NonZeroExitCode)"
    program("scontrol", "Invalid job id", code=1)
    assert end_of("12_0") == "SLURM remembers nothing of it"


def test_the_array_of_a_task():
    assert [array_of(task) for task in ("12_3", "12")] == ["12", "12"]
