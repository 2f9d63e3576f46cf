"""A mistake ends in one screen: what is wrong, the closest allowed choice first, exit code 1 and no traceback."""

import os
import subprocess
import sys

import pytest
from made_up import ROOT

from beyondlinear.config import build, check
from beyondlinear.errors import ConfigError

SMALL = ["dataset.n_samples=40", "dataset.n_genes=6"]

IN_PROCESS = [  # refused by our own check of the composed config
    (["+foo=1"], ["foo: no such key", "Allowed: "]),
    (["+sede=1"], ["did you mean 'seed'"]),
    (["+dataset.n_gene=5"], ["dataset.n_gene: no such key", "did you mean 'n_genes'"]),
    (["dataset.n_samples=abc"], ["dataset.n_samples: 'abc' is not allowed", "valid integer"]),
    (["model.network.dropout=much"], ["model.network.dropout: 'much'", "valid number"]),
    (["+model.network.droput=0.1"], ["model.network.droput: no such key", "did you mean 'dropout'"]),
    (["model.optimizer.lr=fast"], ["model.optimizer.lr: 'fast'"]),
    (["model.loss=hinje"], ["model.loss: 'hinje'", "did you mean 'hinge'"]),
    (["split=group"], ["split.group has no value"]),
    (["split.folds=1"], ["split.folds: 1", "greater than or equal to 2"]),
    (["split.fractions=[]"], ["split.fractions: [] is not allowed"]),
    (["split.only_folds=[]"], ["split.only_folds: [] is not allowed"]),
    (["model=three_layer", "model.network.initialisation=he"], ["'he' is not allowed", "torch"]),
    (["split.fractions=[0.5,2]"], ["split.fractions", "less than or equal to 1"]),
    (["trainer.accelerator=tpu"], ["trainer.accelerator: 'tpu'", "Allowed: "]),
    (["seed=-1"], ["seed: -1 is negative"]),
    (["select.top_variance=0"], ["select.top_variance: 0 keeps no gene"]),
    (["model._target_=beyondlinear.nowhere.Model"], ["model._target_", "cannot be imported"]),
]


@pytest.mark.parametrize(("overrides", "words"), IN_PROCESS, ids=lambda v: str(v[0]))
def test_check_names_key_value_and_choices(compose_config, overrides, words):
    with pytest.raises(ConfigError) as error:
        check(compose_config(*overrides))
    assert all(w in str(error.value) for w in words), str(error.value)


def test_the_shipped_defaults_pass(compose_config):
    check(compose_config())


def test_a_partial_network_is_built_without_its_run_time_arguments(compose_config):
    model = build(compose_config("model=three_layer", "model.network.dropout=0.25").model)
    assert model.network(n_genes=8, n_classes=2).layers[2].p == 0.25


COMMAND_LINE = [  # refused by Hydra and OmegaConf while they compose; said in our words
    (["modle=five_layer"], ["modle: no such key", "did you mean 'model'"]),
    (["model=fiv_layer"], ["model=fiv_layer: no such choice", "did you mean 'five_layer'? Allowed: five_layer, "]),
    (["-m", "model=three_layer,fiv_layer"], ["model=fiv_layer: no such choice", "did you mean 'five_layer'"]),
    (["dataset.n_sampels=5"], ["dataset.n_sampels: no such key", "did you mean 'n_samples'"]),
    (["protocol.batch_sise=5"], ["protocol.batch_sise: no such key", "did you mean 'batch_size'"]),
    (["seed=abc"], ["seed: ", "'abc'", "Integer"]),
    (["scale=standardize"], ["scale=standardize: no such choice", "did you mean 'standardise'"]),
    (["dataset.n_genes=a=b"], ["needs quotes", "my file (1).csv"]),
    ([*SMALL, "task.label=lable"], ["task.label: 'lable' is not a column", "did you mean 'label'"]),
    ([*SMALL, "task.classes=[clas_0,class_1]"], ["'clas_0' is not a class", "did you mean 'class_0'"]),
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
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nsplit:\n  fraction: [0.5]\n")
    command = [sys.executable, str(ROOT / "train.py"), "--config-dir", str(tmp_path), "experiment=mine", *SMALL]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "split.fraction: no such key. did you mean 'fractions'" in done.stderr


def test_the_traceback_is_there_when_asked_for(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, "task.label=lable"]
    environment = os.environ | {"HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_help_lists_groups_and_choices(train):
    text = train("--help").stdout
    for line in (
        "model: five_layer, linear_svm, logistic_regression, random_forest, rbf_svm, ridge_logistic, ridge_svm, three_layer",
        "signal_removal: full, none, quadratic, resistant, split, study, train, train_oracle, train_projection",
    ):
        assert line in text
    for group in ("control", "dataset", "experiment", "logger", "protocol", "split", "task", "trainer", "tuning"):
        assert f"\n{group}: " in text


def test_cfg_job_runs_nothing(train, tmp_path):
    assert "lr: ${protocol.learning_rate.net}" in train("--cfg", "job").stdout
    assert not (tmp_path / "outputs").exists()
