"""What a run says of itself while it lives, and what a sweep planned."""

import json
import os
import subprocess
import sys

import pytest

from beyondlinear.records.run_state import (
    LOST,
    RunState,
    Stopped,
    born,
    clock_of,
    is_alive,
    plan,
    process,
    read_plan,
    read_state,
    reason_of,
    run_id,
    slurm_job,
)
from beyondlinear.runtime.errors import ConfigError


def test_a_run_is_named_by_what_was_asked_for_in_any_order():
    assert run_id(["seed=1", "model=five_layer"]) == run_id(["model=five_layer", "seed=1"])
    assert run_id(["seed=1"]) != run_id(["seed=2"])
    assert len(run_id([])) == 8


def test_a_job_of_slurm_has_the_number_that_squeue_shows(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert slurm_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "125")
    assert slurm_job() == "125"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "123")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    assert slurm_job() == "123_4"


def test_this_process_lives_and_one_that_ended_does_not():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    its_state = process() | {"pid": child.pid, "born": born(child.pid)}
    assert is_alive(process(), last_beat=0, clock=0)
    assert is_alive(its_state, last_beat=0, clock=0)
    child.kill()
    child.wait()
    assert not is_alive(its_state, last_beat=0, clock=0)


def test_on_another_machine_the_last_beat_counts():
    elsewhere = process() | {"host": "elsewhere"}
    assert is_alive(elsewhere, last_beat=1000, clock=1000 + LOST - 1)
    assert not is_alive(elsewhere, last_beat=1000, clock=1000 + LOST)


def test_the_clock_is_that_of_the_file_system(tmp_path):
    (tmp_path / "file").touch()
    assert clock_of(tmp_path) >= (tmp_path / "file").stat().st_mtime
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (None, "finished", None),
        (ConfigError("seed: -1 is negative"), "failed", "seed: -1 is negative"),
        (ValueError("no\nsuch"), "failed", "ValueError: no"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (Stopped("told to stop by SLURM"), "stopped", "told to stop by SLURM"),
    ],
    ids=["finished", "ours", "a bug", "Ctrl-C", "SLURM"],
)
def test_a_run_says_how_it_ended(tmp_path, error, status, reason):
    path = tmp_path / "state.json"
    run = RunState(tmp_path, ["seed=1"])
    run.__enter__()
    under_way = read_state(path)
    run.__exit__(type(error) if error else None, error, None)
    ended = read_state(path)
    assert (under_way["status"], under_way["ended"]) == ("running", None)
    assert (under_way["pid"], under_way["overrides"]) == (os.getpid(), ["seed=1"])
    assert (ended["status"], ended["reason"]) == (status, reason)
    assert ended["ended"] is not None
    assert ended["started"] == under_way["started"]


def test_an_error_in_one_line():
    assert reason_of(ValueError("first\nsecond")) == "ValueError: first"
    assert reason_of(ValueError()) == "ValueError: "
    assert reason_of(ConfigError("\n seed: no\n such")) == "seed: no"


def test_a_part_of_a_plan_leaves_it_as_it_is_and_more_replaces_it(tmp_path):
    assert read_plan(tmp_path) is None
    plan(tmp_path, [["seed=0"], ["seed=1"]], ["train.py", "-m"])
    assert read_plan(tmp_path)["command"] == ["train.py", "-m"]
    plan(tmp_path, [["seed=1"]], ["repair"])
    assert [run["overrides"] for run in read_plan(tmp_path)["runs"]] == [["seed=0"], ["seed=1"]]
    plan(tmp_path, [["seed=2"]], ["another"])
    assert read_plan(tmp_path)["runs"] == [{"id": run_id(["seed=2"]), "overrides": ["seed=2"]}]


def test_a_state_that_is_just_being_written_is_none(tmp_path):
    path = tmp_path / "state.json"
    assert read_state(path) is None
    path.write_text('{"status": "run')
    assert read_state(path) is None
    path.write_text(json.dumps({"host": "here"}))
    assert read_state(path) is None
