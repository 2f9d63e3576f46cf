"""The key of a fit. `python tests/records/test_keys.py` writes the golden keys anew: do that where
keys change on purpose, and raise NUMERICS_VERSION if results do as well."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up import composed
from omegaconf import OmegaConf

from beyondlinear.records.keys import fit_key, run_key
from beyondlinear.tasks.splits import Fold

GOLDEN = Path(__file__).parent / "golden_keys.json"

CONFIG = {
    "dataset": {"name": "file", "expression": "/a/x.csv"},
    "split": {
        "name": "donor",
        "_target_": "beyondlinear.tasks.splits.Splitter",
        "folds": 5,
        "fractions": [1.0],
        "only_folds": None,
    },
    "signal_removal": {"name": "none"},
    "model": {
        "name": "five_layer",
        "_target_": "beyondlinear.models.network_model.NetworkModel",
        "network": {
            "_target_": "beyondlinear.models.networks.FiveLayer",
            "_partial_": True,
            "dropout": 0.5,
        },
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 1e-4},
        "report_optimum": None,
    },
    "trainer": {
        "threads": 2,
        "engine": "auto",
        "callbacks": [],
        "checkpoint_minutes": 10,
    },
    "protocol": {"name": "sound", "learning_rate": {"net": 1e-4}},
    "tuning": {"name": "none", "method": "none", "trials": 25},
    "control": {"name": "none", "draw": 0},
    "leak_probes": {"trees": 100},
    "residual_test": {"name": "none"},
    "logger": {"name": "csv", "save_dir": "/runs/1"},
    "results": {"store": "/records", "keep_model": False},
    "seed": 0,
}

FOLD = Fold(0, np.array([0, 1, 2]), np.array([3, 4]))


def changed(path: str, value: object) -> dict:
    config = json.loads(json.dumps(CONFIG))
    node = config
    *parents, last = path.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    return config


@pytest.mark.parametrize(
    "path",
    [
        "dataset.expression",
        "logger.save_dir",
        "results.store",
        "split.fractions",
        "split.only_folds",
        "tuning.trials",
        "trainer.checkpoint_minutes",
        "protocol.learning_rate",
    ],
)
def test_the_key_ignores_what_does_not_determine_a_fit(path):
    assert fit_key(changed(path, "other"), "data", FOLD, 1.0) == fit_key(CONFIG, "data", FOLD, 1.0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("results.keep_model", True),
        ("leak_probes.trees", 5),
        ("model.report_optimum", 2e7),
        ("residual_test.name", "standard"),
    ],
)
def test_the_key_ignores_what_only_adds_to_a_record(path, value):
    assert fit_key(changed(path, value), "data", FOLD, 1.0) == fit_key(CONFIG, "data", FOLD, 1.0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.optimizer.lr", 2e-4),
        ("model.network.dropout", 0.1),
        ("seed", 1),
        ("trainer.threads", 1),
        ("trainer.engine", "lightning"),
        ("trainer.callbacks", [{"_target_": "mine.SwaCallback"}]),
        ("split.folds", 4),
        ("signal_removal.name", "leace"),
    ],
)
def test_the_key_sees_what_determines_a_fit(path, value):
    assert fit_key(changed(path, value), "data", FOLD, 1.0) != fit_key(CONFIG, "data", FOLD, 1.0)


def test_code_may_move_and_another_class_is_another_model():
    moved = changed("model.network._target_", "beyondlinear.elsewhere.FiveLayer")
    other = changed("model.network._target_", "beyondlinear.models.networks.ThreeLayer")
    key = fit_key(CONFIG, "data", FOLD, 1.0)
    assert fit_key(moved, "data", FOLD, 1.0) == key
    assert fit_key(other, "data", FOLD, 1.0) != key
    assert run_key(moved) == run_key(CONFIG)


def test_a_callback_may_move_too():
    callbacks = [changed("trainer.callbacks", [{"_target_": f"{m}.Swa"}]) for m in ("a", "b.c")]
    assert len({fit_key(config, "data", FOLD, 1.0) for config in callbacks}) == 1


def test_the_key_sees_data_fold_and_fraction_and_not_the_order_of_keys():
    folds = [FOLD, Fold(1, FOLD.train, FOLD.test)]
    keys = {fit_key(CONFIG, d, f, s) for d in ("a", "b") for f in folds for s in (0.5, 1.0)}
    assert len(keys) == 8
    assert fit_key(dict(reversed(CONFIG.items())), "a", FOLD, 1) == fit_key(CONFIG, "a", FOLD, 1.0)


def test_a_pretrained_fit_and_its_twin_are_two():
    assert (
        len({fit_key(CONFIG, "data", FOLD, 1.0, pretrained) for pretrained in (None, False, True)})
        == 3
    )


def test_the_key_sees_which_rows_a_fold_holds_out():
    """A fold column that was changed, or samples without a fold that only train: same numbers,
    other fits."""
    other = Fold(0, np.array([0, 1, 3]), np.array([2, 4]))
    shorter = Fold(0, np.array([0, 1]), np.array([3, 4]))
    assert len({fit_key(CONFIG, "data", f, 1.0) for f in (FOLD, other, shorter)}) == 3


def test_a_run_keeps_the_name_of_its_list_when_only_paths_of_trackers_change():
    assert run_key(changed("logger.save_dir", "/runs/2")) == run_key(CONFIG)
    assert run_key(changed("seed", 1)) != run_key(CONFIG)


# overrides of a composed config → whether the fit is pretrained
CHOICES: dict[str, bool | None] = {
    "": None,
    "model=logistic_regression tuning=tpe control=linear_labels": None,
    "model=ridge_logistic signal_removal=leace split=group split.group=batch": None,
    "model=three_layer signal_removal=class_means_before_split protocol=paper": None,
    "model=five_layer split=pretrain": True,
    "model=random_forest signal_removal=matching select.top_variance=100 seed=3": None,
}


def keys_of_choices() -> dict[str, str]:
    keys = {}
    for overrides, pretrained in CHOICES.items():
        cfg = composed("logger=none", *overrides.split())
        config = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
        keys[overrides] = fit_key(config, "data", FOLD, 0.5, pretrained)
    return keys


def test_the_keys_of_shipped_choices_are_the_golden_ones():
    """A key that changes makes every record of it unknown: it must not do so by accident."""
    assert keys_of_choices() == json.loads(GOLDEN.read_text(encoding="utf-8"))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(keys_of_choices(), indent=1) + "\n", encoding="utf-8")
