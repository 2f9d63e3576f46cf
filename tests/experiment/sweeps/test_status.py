import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import ROOT
from rich.console import Console

from beyondlinear.experiment.sweeps.status import runs_of
from beyondlinear.experiment.sweeps.status_table import exit_code, program_of, redo, show
from beyondlinear.records.run_state import LOST, RunState, Stopped, plan, process, run_id
from beyondlinear.runtime.errors import ResultsError, Terminated

TINY = [
    "dataset.n_samples=60",
    "dataset.n_genes=12",
    "split.folds=2",
    "trainer.threads=1",
    "trainer.max_epochs=1",
    "model=logistic_regression",
    "seed=0,1",
    "hydra.sweep.dir=m",
]


def beyondlinear(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).parent / "beyondlinear"), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False, env=environment
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sweep")
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, "hydra/launcher=local"]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture
def sweep(swept, tmp_path):
    shutil.copytree(swept, tmp_path / "s")
    for path in (tmp_path / "s").glob("m/*/fits_*.json"):
        said = json.loads(path.read_text())
        path.write_text(json.dumps(said | {"store": str(tmp_path / "s" / "outputs" / "records")}))
    return tmp_path / "s"


def test_finished(sweep):
    done = beyondlinear("status", "m", cwd=sweep)
    assert done.returncode == 0
    assert done.stdout.strip() == "m: 2 runs: 2 finished; fits listed so far: 4 done of 4"


def test_a_record_that_is_gone_and_one_that_failed(sweep):
    first, second, *_ = sorted(sweep.glob("outputs/records/??/*.json"))
    first.unlink()
    record = json.loads(second.read_text()) | {"status": "failed", "reason": "ValueError: boom"}
    second.write_text(json.dumps(record, indent=1))
    done = beyondlinear("status", "m", cwd=sweep)
    assert done.returncode == 1
    assert "fits listed so far: 2 done, 1 failed, 1 missing of 4" in done.stdout
    assert "boom" in done.stdout


def test_the_command_that_is_named_makes_what_is_missing(sweep):
    runs, _ = runs_of(sweep / "m")
    victim = runs[1]
    for fit in json.loads(next(victim.directory.glob("fits_*.json")).read_text())["fits"]:
        (sweep / "outputs" / "records" / fit["key"][:2] / f"{fit['key']}.json").unlink()
    runs, command = runs_of(sweep / "m")
    assert [r.status for r in runs] == ["finished", "missing"]
    assert command[1:] == ["-m", *TINY, "hydra/launcher=local"]
    words = redo(runs[1], program_of(command)).split()
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=sweep, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [r.status for r in runs_of(sweep / "m")[0]] == ["finished", "finished"]


def test_a_run_that_never_began_is_missing(sweep):
    shutil.rmtree(runs_of(sweep / "m")[0][0].directory)
    runs, _ = runs_of(sweep / "m")
    assert [r.status for r in runs] == ["missing", "finished"]
    assert exit_code(runs) == 1


def states(directory: Path, **changes) -> list:
    """The state of a run that has begun and that did not end."""
    plan(directory, [["a=1"]], ["train.py", "-m"])
    (directory / "run").mkdir()
    said = {
        "id": run_id(["a=1"]),
        "overrides": ["a=1"],
        "status": "running",
        **process(),
        **changes,
    }
    (directory / "run" / "state.json").write_text(json.dumps(said))
    return runs_of(directory)[0]


def test_alive(tmp_path):
    [run] = states(tmp_path)
    assert run.status == "running"
    assert exit_code([run]) == 3


def test_dead_here(tmp_path):
    [run] = states(tmp_path, born="1")
    assert run.status == "died"
    assert run.reason == f"its process {os.getpid()} on {platform.node()} is gone"


def test_dead_elsewhere(tmp_path):
    [run] = states(tmp_path, host="elsewhere")
    assert run.status == "running"
    path = tmp_path / "run" / "state.json"
    old = path.stat().st_mtime - LOST - 5
    os.utime(path, (old, old))
    assert runs_of(tmp_path)[0][0].status == "died"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (None, "finished", None),
        (ValueError("no\nmore"), "failed", "ValueError: no"),
        (ResultsError("the disk"), "failed", "the disk"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (Terminated("stopped by SIGTERM"), "stopped", "stopped by SIGTERM"),
        (Stopped("time is up", (1, 2)), "stopped", "time is up"),
    ],
)
def test_how_a_run_ends(tmp_path, error, status, reason):
    with (
        contextlib.suppress(ValueError, KeyboardInterrupt, Stopped),
        RunState(tmp_path, ["b=2", "a=1"]),
    ):
        if error is not None:
            raise error
    said = json.loads((tmp_path / "state.json").read_text())
    assert (said["status"], said["reason"], said["id"]) == (status, reason, run_id(["a=1", "b=2"]))


def test_a_repair_leaves_the_plan_and_a_new_grid_replaces_it(tmp_path):
    plan(tmp_path, [["a=1"], ["a=2"]], ["all"])
    plan(tmp_path, [["a=2"]], ["repair"])
    assert json.loads((tmp_path / "sweep.json").read_text())["command"] == ["all"]
    plan(tmp_path, [["a=3"]], ["new"])
    assert json.loads((tmp_path / "sweep.json").read_text())["command"] == ["new"]


def test_no_run(tmp_path):
    with pytest.raises(ResultsError, match="holds no sweep and no run"):
        runs_of(tmp_path)
    with pytest.raises(ResultsError, match="is not a directory"):
        show([str(tmp_path / "no")], Console())
