"""Waiting for tasks, with a queue made by hand."""

import json

import pytest

from beyondlinear.experiment.sweeps import slurm_wait
from beyondlinear.experiment.sweeps.jobs import SweepRun
from beyondlinear.experiment.sweeps.slurm_wait import SubmittedTask, wait

NAMES = {0: "seed=0", 1: "seed=1"}


@pytest.fixture
def task(tmp_path):
    runs = [SweepRun(0, ["seed=0"]), SweepRun(1, ["seed=1"])]
    return SubmittedTask("12_0", runs, tmp_path / "answer.json")


def test_a_task_that_answers(task, monkeypatch, caplog):
    caplog.set_level("INFO")
    answers = iter(
        [
            {"reasons": {"0": None}, "over": False},
            {"reasons": {"0": None, "1": "boom"}, "over": True},
        ]
    )

    def queue(jobs):
        assert jobs == {"12"}
        task.answers.write_text(json.dumps(next(answers)))
        return {"12_0": "RUNNING"}

    monkeypatch.setattr(slurm_wait, "queue_of", queue)
    assert wait([task], NAMES, poll=0) == {0: None, 1: "boom"}
    text = caplog.text
    assert "run 1 of 2  seed=0: done; about" in text
    assert "1 tasks running, 0 waiting" in text
    assert "run 2 of 2  seed=1: FAILED: boom" in text


def test_a_task_that_is_gone_from_the_queue(task, monkeypatch):
    task.answers.write_text(json.dumps({"reasons": {"0": None}, "over": False}))
    monkeypatch.setattr(slurm_wait, "queue_of", lambda jobs: {})
    monkeypatch.setattr(slurm_wait, "end_of", lambda task: "OUT_OF_MEMORY")
    reasons = wait([task], NAMES, poll=0)
    assert reasons == {0: None, 1: "SLURM job 12_0 ended without it: OUT_OF_MEMORY"}


def test_a_scheduler_that_is_silent_ends_no_task(task, monkeypatch):
    looks = iter([None, None])

    def queue(jobs):
        silent = next(looks, "answers")
        if silent == "answers":
            task.answers.write_text(json.dumps({"reasons": {"0": None, "1": None}, "over": True}))
        return None

    monkeypatch.setattr(slurm_wait, "queue_of", queue)
    assert wait([task], NAMES, poll=0) == {0: None, 1: None}
    assert task.out_since is None
