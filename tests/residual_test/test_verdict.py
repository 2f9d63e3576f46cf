"""The test as a user makes it: by a config, with a record that is found again and gathered."""

import json
import re
import sys

import pytest

from beyondlinear import cli
from beyondlinear.errors import ResultsError
from beyondlinear.residual_test.run import conclusion, gather

SMALL = ["experiment=residual_test", "test.draws=19", "test.statistics=[pairs]", "trainer.threads=1"]


def test_a_verdict_is_recorded_found_again_and_gathered(train, tmp_path, monkeypatch, capsys):
    settings = [*SMALL, "dataset.n_samples=200", "dataset.n_genes=6", "hydra.run.dir=one"]
    first = train(*settings).stdout
    [said] = re.findall(r"simulated_clusters, label: .*", first)
    assert "19 bootstrap draws" in said
    again = train(*settings).stdout
    assert "this test was made before" in again
    assert said in again
    [path] = (tmp_path / "one").glob("test_*.json")
    record = json.loads(path.read_text())
    assert record["verdict"]["draws"] == 19
    assert record["data"]["n_samples"] == 200
    monkeypatch.setattr(sys, "argv", ["beyondlinear", "test", str(tmp_path / "one")])
    cli.main()
    assert said in capsys.readouterr().out


def test_the_papers_mixed_simulation_is_redundant(train):
    done = train(*SMALL, "dataset=simulated_mixed", "dataset.n_samples=200", "dataset.n_genes=60")
    assert "redundant: the linear model leaves nothing to use" in done.stdout
    assert "it leaves nothing that another model could use" in done.stdout


def test_single_folds_are_refused(train):
    done = train(*SMALL, "dataset.n_samples=100", "split.only_folds=[0]", expect=1)
    assert "needs every fold: leave split.only_folds null" in done.stderr


def test_a_directory_without_tests(tmp_path):
    with pytest.raises(ResultsError, match="holds no residual-prediction test"):
        gather([str(tmp_path)])


def test_what_is_not_found_is_not_said_to_be_absent():
    record = {"names": {"dataset": "d", "task": "t"}, "verdict": {"verdict": "none found", "p_value": 0.4, "draws": 99}}
    assert conclusion(record) == (
        "d, t: no signal was found that the linear model cannot use; a weak one would go unnoticed (README: power) "
        "(p = 0.400, best of the statistics, 99 bootstrap draws)."
    )
