"""The test as a user makes it: by a config, with a record that is found again and gathered."""

import json
import re
import subprocess
import sys

import pytest

from beyondlinear import cli
from beyondlinear.evaluation.residual_test.run import conclusion, gather
from beyondlinear.runtime.errors import ResultsError

SMALL = [
    "residual_test.draws=19",
    "residual_test.statistics=[pairs]",
    "trainer.threads=1",
]
CLUSTERS = "dataset=simulated_clusters"


@pytest.fixture
def residual_test(tmp_path):
    """`beyondlinear test ARGUMENTS` in a new process and an empty directory."""

    def call(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "beyondlinear.cli", "test", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return call


def test_a_verdict_is_recorded_found_again_and_gathered(
    residual_test, tmp_path, monkeypatch, capsys
):
    settings = [*SMALL, CLUSTERS, "dataset.n_samples=200", "dataset.n_genes=6", "hydra.run.dir=one"]
    first = residual_test(*settings).stdout
    [said] = re.findall(r"simulated_clusters, label: .*", first)
    assert "19 bootstrap draws" in said
    again = residual_test(*settings).stdout
    assert "this test was made before" in again
    assert said in again
    [path] = (tmp_path / "one").glob("test_*.json")
    record = json.loads(path.read_text())
    assert record["verdict"]["draws"] == 19
    assert record["data"]["n_samples"] == 200
    assert not list((tmp_path / "one").glob("fits_*.json"))  # the test, and no fit
    monkeypatch.setattr(sys, "argv", ["beyondlinear", "test", str(tmp_path / "one")])
    cli.main()
    assert said in capsys.readouterr().out


def test_the_papers_mixed_simulation_is_redundant(residual_test):
    done = residual_test(
        *SMALL, "dataset=simulated_mixed", "dataset.n_samples=200", "dataset.n_genes=60"
    )
    assert "redundant: the linear model leaves nothing to use" in done.stdout
    assert "it leaves nothing that another model could use" in done.stdout


def test_single_folds_are_refused(residual_test):
    done = residual_test(
        *SMALL, CLUSTERS, "dataset.n_samples=100", "split.only_folds=[0]", expect=1
    )
    assert "needs every fold: leave split.only_folds null" in done.stderr


def test_a_directory_without_tests(tmp_path):
    with pytest.raises(ResultsError, match="holds no residual-prediction test"):
        gather([str(tmp_path)])


def test_what_is_not_found_is_not_said_to_be_absent():
    record = {
        "names": {"dataset": "d", "task": "t"},
        "verdict": {"verdict": "none found", "p_value": 0.4, "draws": 99},
    }
    assert (
        conclusion(record)
        == "d, t: no signal was found that the linear model cannot use; a weak one would go"
        " unnoticed (README: power) (p = 0.400, best of the statistics, 99 bootstrap draws)."
    )
