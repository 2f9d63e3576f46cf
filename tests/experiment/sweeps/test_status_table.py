"""What `beyondlinear status` prints and its exit code, on runs made by hand."""

from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from beyondlinear.experiment.sweeps.status import RunStatus
from beyondlinear.experiment.sweeps.status_table import (
    config_dir_of,
    exit_code,
    program_of,
    redo,
    status_table,
    summary,
)


def test_summary_counts():
    first = RunStatus("1", [], "finished", fits=Counter(done=1000, skipped=2))
    runs = [first, RunStatus("2", [], "failed")]
    assert (
        summary(runs)
        == "2 runs: 1 failed, 1 finished; fits listed so far: 1,000 done, 2 skipped of 1,002"
    )


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["finished"], 0),
        (["finished", "running"], 3),
        (["waiting"], 3),
        (["running", "died"], 1),
        (["missing"], 1),
    ],
)
def test_exit_codes(statuses, code):
    assert exit_code([RunStatus(str(i), [], s) for i, s in enumerate(statuses)]) == code


def test_a_finished_run_with_failed_fits_is_to_be_made_again():
    assert exit_code([RunStatus("1", [], "finished", fits=Counter(failed=1))]) == 1


def test_the_program_is_the_one_that_was_typed():
    run = RunStatus("1", ["seed=0"], "died", directory=Path("m/one"))
    by_script = redo(run, program_of(["a folder/train.py", "-m"]))
    assert by_script == "python 'a folder/train.py' seed=0 hydra.mode=RUN hydra.run.dir=m/one"
    by_verb = redo(run, program_of(["beyondlinear run", "-m"]))
    assert by_verb == "beyondlinear run seed=0 hydra.mode=RUN hydra.run.dir=m/one"


def test_a_run_by_itself_finds_the_users_own_configs():
    assert config_dir_of(["train.py", "-m", "--config-dir", "a b", "seed=0,1"]) == [
        "--config-dir",
        "a b",
    ]
    assert config_dir_of(["train.py", "--config-dir=mine"]) == ["--config-dir=mine"]
    assert config_dir_of(["train.py", "-m", "seed=0,1"]) == []


def test_a_run_is_named_by_what_sets_it_apart():
    runs = [
        RunStatus("1", ["model=a", "seed=0"], "failed", reason="boom"),
        RunStatus("2", ["model=b", "seed=0"], "finished"),
    ]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(status_table(Path("m"), runs, ["train.py", "-m", "model=a,b", "seed=0"]))
    text = captured.get()
    row = next(line for line in text.splitlines() if "boom" in line)
    assert "model=a" in row
    assert "seed=0" not in row
    assert "model=b" not in text.replace("model=a,b", "")
    assert "python train.py -m model=a,b seed=0" in text
