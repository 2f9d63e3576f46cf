"""The check of a composed config: what is wrong, and the closest allowed choice first."""

import pytest

from beyondlinear.runtime.config import build, check
from beyondlinear.runtime.errors import ConfigError

IN_PROCESS = [  # refused by our own check of the composed config
    (["+foo=1"], ["foo: no such key", "Allowed: "]),
    (["+sede=1"], ["did you mean 'seed'"]),
    (["+dataset.n_gene=5"], ["dataset.n_gene: no such key", "did you mean 'n_genes'"]),
    (["dataset.n_samples=abc"], ["dataset.n_samples: 'abc' is not allowed", "valid integer"]),
    (["model.network.dropout=much"], ["model.network.dropout: 'much'", "valid number"]),
    (
        ["+model.network.droput=0.1"],
        ["model.network.droput: no such key", "did you mean 'dropout'"],
    ),
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
    (["leak_probes.trees=-1"], ["leak_probes.trees: -1 is negative"]),
    (["meters.trees=-1"], ["leak_probes.trees: -1 is negative"]),
    (["+split.tune_share=0.1"], ["split.tune_share: ", "did you mean 'split.validation_share'"]),
    (["+test.draws=99"], ["test: no such key", "did you mean 'residual_test'"]),
    (["residual_test=standard", "residual_test.draws=3"], ["residual_test.draws: 3", "19"]),
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


def test_the_old_name_of_the_leak_probes_is_taken_over(compose_config):
    cfg = compose_config("meters.trees=7")
    check(cfg)
    assert cfg.leak_probes.trees == 7
    assert "meters" not in cfg


def test_without_the_old_name_the_new_one_stays(compose_config):
    cfg = compose_config("leak_probes.trees=0")
    check(cfg)
    assert cfg.leak_probes.trees == 0
