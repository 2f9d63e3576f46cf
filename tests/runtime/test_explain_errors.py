"""A mistake ends in one screen: what is wrong, the closest allowed choice first, exit code 1 and no
traceback."""

import os
import subprocess
import sys

import pytest
from made_up import ROOT

SMALL = ["dataset.n_samples=40", "dataset.n_genes=6"]

COMMAND_LINE = [  # refused by Hydra and OmegaConf while they compose; said in our words
    (["modle=five_layer"], ["modle: no such key", "did you mean 'model'"]),
    (
        ["model=fiv_layer"],
        ["model=fiv_layer: no such choice", "did you mean 'five_layer'? Allowed: five_layer, "],
    ),
    (
        ["-m", "model=three_layer,fiv_layer"],
        ["model=fiv_layer: no such choice", "did you mean 'five_layer'"],
    ),
    (["dataset.n_sampels=5"], ["dataset.n_sampels: no such key", "did you mean 'n_samples'"]),
    (["protocol.batch_sise=5"], ["protocol.batch_sise: no such key", "did you mean 'batch_size'"]),
    (["seed=abc"], ["seed: ", "'abc'", "Integer"]),
    (["scale=standardize"], ["scale=standardize: no such choice", "did you mean 'standardise'"]),
    (["test=residual"], ["test: no such key", "did you mean 'residual_test'"]),
    (["split.tune_share=0.1"], ["split.tune_share: ", "did you mean 'split.validation_share'"]),
    (["protocol.fit_on=fit"], ["did you mean 'protocol.fit_on=train'"]),
    (["meters.forest=5"], ["meters.forest: no such key", "did you mean"]),
    (["signal_removal=clas_means"], ["did you mean 'class_means'? Allowed: class_means, "]),
    (["dataset.n_genes=a=b"], ["needs quotes", "my file (1).csv"]),
    ([*SMALL, "task.label=lable"], ["task.label: 'lable' is not a column", "did you mean 'label'"]),
    (
        [*SMALL, "task.classes=[clas_0,class_1]"],
        ["'clas_0' is not a class", "did you mean 'class_0'"],
    ),
    ([*SMALL, "split=group", "split.group=donor"], ["split.group: 'donor' is not a column"]),
]


@pytest.mark.parametrize(("arguments", "words"), COMMAND_LINE, ids=lambda v: str(v[-1]))
def test_one_screen_and_exit_code_1(train, arguments, words):
    done = train(*arguments, expect=1)
    assert all(w in done.stderr for w in words), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.splitlines()) <= 12


def test_a_misspelt_key_in_an_experiment_file_is_refused(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nsplit:\n  fraction: [0.5]\n"
    )
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "--config-dir",
        str(tmp_path),
        "experiment=mine",
        *SMALL,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "split.fraction: no such key. did you mean 'fractions'" in done.stderr


def test_the_traceback_is_there_when_asked_for(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, "task.label=lable"]
    environment = os.environ | {"HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_help_lists_groups_and_choices(train):
    text = train("--help").stdout
    for line in (
        (
            "model: five_layer, linear_svm, logistic_regression, random_forest, rbf_svm,"
            " ridge_logistic, ridge_svm, three_layer"
        ),
        (
            "signal_removal: class_means, class_means_before_split, leace, matching, none,"
            " projection, quadratic, study, train_oracle"
        ),
    ):
        assert line in text
    for group in (
        "control",
        "dataset",
        "experiment",
        "logger",
        "protocol",
        "residual_test",
        "split",
        "task",
        "trainer",
        "tuning",
    ):
        assert f"\n{group}: " in text
    assert "_network" not in text  # what choices build on is no choice


def test_cfg_job_runs_nothing(train, tmp_path):
    assert "lr: ${protocol.learning_rate.net}" in train("--cfg", "job").stdout
    assert not (tmp_path / "outputs").exists()
