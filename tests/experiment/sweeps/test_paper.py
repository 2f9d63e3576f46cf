"""The experiments of the paper on stand-in data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import ROOT, composed

from beyondlinear.experiment.sweeps.paper import EXPERIMENTS, overrides_of
from beyondlinear.runtime.config import build
from beyondlinear.runtime.errors import ConfigError

FAST = [
    "model=logistic_regression,linear_svm",
    "trainer.max_epochs=1",
    "split.fractions=[1.0]",
    "split.folds=3",
]


def run(directory: Path, *words: str) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).parent / "beyondlinear"), "paper", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
        env=environment,
    )


def test_every_experiment_of_the_paper_is_there():
    assert sorted(EXPERIMENTS) == sorted(
        ["fig2a", "fig2b", "fig3a", "fig3b", "fig3c", "fig4", "s1", "s2", "s3", "s4"]
    )
    assert all((ROOT / "conf" / "experiment" / f"{e}.yaml").exists() for e in EXPERIMENTS)


def test_every_file_states_claim_command_size_and_cost():
    for name in EXPERIMENTS:
        text = (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text()
        for word in ("Claim", f"Command: python train.py experiment={name}", "Size", "Cost"):
            assert f"# {word}" in text, (name, word)


def test_the_svm_of_figure_3c_is_tuned_without_weight_decay(tmp_path):
    done = run(tmp_path, "--pilot", "--only", "fig3c", *FAST, "signal_removal=none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fig3c       done" in done.stdout
    records = [json.loads(p.read_text()) for p in tmp_path.glob("outputs/pilot/??/*.json")]
    tuned = {r["names"]["model"]: set(r["tuning"]["chosen"]) for r in records}
    assert tuned == {"logistic_regression": {"lr", "weight_decay"}, "linear_svm": {"lr"}}


@pytest.mark.slow
def test_all_of_them_run_on_stand_in_data(tmp_path):
    done = run(tmp_path, "--pilot", *FAST)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in EXPERIMENTS:
        assert f"{name:<10}  done" in done.stdout


@pytest.mark.slow
def test_an_experiment_that_fails_is_named_and_the_next_is_run(tmp_path):
    done = run(tmp_path, "--pilot", "--only", "s1", "fig4", *FAST, "seed=-1", "signal_removal=none")
    assert done.returncode == 1
    assert "fig4        FAILED" in done.stdout
    assert "beyondlinear run experiment=s1" in done.stderr


def test_a_bad_name():
    with pytest.raises(ConfigError, match="did you mean 'fig4'"):
        overrides_of("fig44", [], False)


def test_the_users_overrides_win_over_the_pilots():
    words = overrides_of("s1", ["seed=1"], True)
    assert words[0] == "experiment=s1"
    assert words.index("seed=0") < words.index("seed=1")
    assert "dataset.n_samples=200" in words


def test_the_stand_in_has_what_the_experiments_need():
    adata = build(composed("dataset=stand_in", "logger=none").dataset)
    assert adata.shape == (1320, 200)
    assert adata.obs.tissue.value_counts().eq(60).all()
    assert set(adata.obs.sex) == {"female", "male"}
    assert (
        adata.obs.groupby("study").tissue.nunique().eq(1).all()
    )  # a study is of one tissue, as most are
    first = [float(adata[adata.obs.sex == s].X[:, 0].mean()) for s in ("male", "female")]
    assert first[0] - first[1] == pytest.approx(2, abs=0.2)
