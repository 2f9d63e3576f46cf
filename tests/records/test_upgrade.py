"""Records, arrays, lists and packs of format 1 are read as today's."""

import copy
import json

import numpy as np
import pytest
from typed_records import strange

from beyondlinear.records.gather import gather, pack
from beyondlinear.records.record import FORMAT, FitRecord
from beyondlinear.records.store import RecordStore
from beyondlinear.records.upgrade import (
    model_properties,
    upgrade,
    upgrade_arrays,
    upgrade_config,
    upgrade_names,
)
from beyondlinear.runtime.files import write_json

OLD_NAMES = {
    "dataset": "simulated_mixed",
    "task": "label",
    "model": "logistic_regression",
    "signal_removal": "train",
    "control": "none",
    "split": "sample",
    "protocol": "sound",
    "tuning": "none",
}

OLD_CONFIG = {
    "dataset": {
        "name": "simulated_mixed",
        "_target_": "beyondlinear.data.simulated.simulated_mixed",
        "seed": 0,
    },
    "control": {"name": "none", "_target_": "beyondlinear.controls.NoControl", "draw": 0},
    "split": {
        "name": "sample",
        "_target_": "beyondlinear.splits.Splitter",
        "folds": 2,
        "fractions": [1.0],
        "tune_share": 0.2,
    },
    "signal_removal": {
        "name": "train",
        "_target_": "beyondlinear.removal.modes.LabelFreeRemoval",
        "method": "leace",
    },
    "model": {
        "name": "logistic_regression",
        "_target_": "beyondlinear.classifier.NetworkModel",
        "network": {"_target_": "beyondlinear.networks.Linear", "_partial_": True},
        "loss": "cross_entropy",
        "report_optimum": 2e7,
    },
    "protocol": {"name": "sound", "fit_on": "fit"},
    "test": {"name": "none"},
    "trainer": {"name": "cpu", "threads": 1, "epochs_without_tune": 30},
    "meters": {"trees": 5},
    "results": {"store": "/records", "pack_from": 50, "keep_model": False},
    "seed": 0,
}

ROWS = {"n": 2, "ids": "8b2c"}
OLD_RECORD = {
    "key": "0289187c288b52437048cc51a61c0eab",
    "names": OLD_NAMES,
    "seed": 0,
    "fold": 0,
    "held_out": "",
    "fraction": 1.0,
    "pretrained": None,
    "data": {
        "fingerprint": "1f5f59a6be7b2ab49f61193043d921fe",
        "n_samples": 60,
        "n_genes": 12,
        "n_groups": 60,
        "classes": ["class_0", "class_1"],
        "dropped": {},
        "confounding": None,
    },
    "config": OLD_CONFIG,
    "counts": {
        "n_train": 30,
        "n_classes": 2,
        "n_fit": 24,
        "n_tune": 6,
        "n_validation": 29,
        "n_train_groups": 30,
        "per_class": {
            "fit": {"class_0": 12, "class_1": 12},
            "tune": {"class_0": 3, "class_1": 3},
            "validation": {"class_0": 15, "class_1": 14},
        },
    },
    "tuning": {"method": "random", "signal_removal": "train"},
    "warnings": [],
    "meters": {"norm_auc": 1.0, "forest": 0.75},
    "removal": {"labels_of": "the fit part"},
    "hyperparameters": {"lr": 0.03},
    "training": {
        "epochs": 1,
        "best_epoch": 1,
        "history": [{"epoch": 0, "train_loss": 0.73, "tune_loss": 0.66}],
    },
    "metrics": {"balanced_accuracy": 0.75},
    "confusion": [[13, 2], [6, 8]],
    "notes": [],
    "ledger": {
        "parts": {"fit": ROWS, "tune": ROWS, "validation": ROWS, "pretraining fit": ROWS},
        "steps": {"weights": ROWS, "stopping": ROWS},
    },
    "status": "done",
    "audit": [],
    "circumstances": {
        "seconds": 1.022,
        "finished": "2026-11-27T05:13:52+00:00",
        "device": "cpu",
        "threads": 1,
        "versions": {"python": "3.11.7"},
        "commit": None,
        "changed_since_commit": None,
        "host": "here",
        "processor": "x86_64",
    },
}


@pytest.fixture
def old_record() -> dict:
    return copy.deepcopy(OLD_RECORD)


def test_an_old_record_has_the_fields_of_today(old_record):
    record = upgrade(old_record)
    assert strange(record, FitRecord) == []
    assert record["format"] == FORMAT
    assert old_record == OLD_RECORD  # it was not changed in place


def test_counts_go_by_the_names_of_the_parts(old_record):
    assert upgrade(old_record)["counts"] == {
        "n_outer_train": 30,
        "n_classes": 2,
        "n_train": 24,
        "n_validation": 6,
        "n_test": 29,
        "n_train_groups": 30,
        "per_class": {
            "train": {"class_0": 12, "class_1": 12},
            "validation": {"class_0": 3, "class_1": 3},
            "test": {"class_0": 15, "class_1": 14},
        },
    }


def test_fields_and_choices_have_their_new_names(old_record):
    record = upgrade(old_record)
    assert record["names"]["signal_removal"] == "leace"
    assert record["tuning"]["signal_removal"] == "leace"
    assert record["removal"] == {"labels_of": "the train part"}
    assert record["leak_probes"] == {"norm_auc": 1.0, "forest": 0.75}
    assert record["provenance"]["seconds"] == 1.022
    assert list(record["row_usage"]["parts"]) == [
        "train",
        "validation",
        "test",
        "pretraining train",
    ]
    assert record["training"]["history"] == [
        {"epoch": 0, "train_loss": 0.73, "validation_loss": 0.66}
    ]


def test_a_skipped_fit_counts_its_outer_training_part(old_record):
    skipped = {**old_record, "status": "skipped", "counts": {"n_train": 30, "n_classes": 2}}
    assert upgrade(skipped)["counts"] == {"n_outer_train": 30, "n_classes": 2}


def test_a_record_of_today_stays_as_it_is(old_record):
    record = upgrade(old_record)
    assert upgrade(record) is record


def test_a_config_has_todays_groups_and_keys():
    config = upgrade_config(OLD_CONFIG)
    assert config["leak_probes"] == {"trees": 5}
    assert config["residual_test"] == {"name": "none"}
    assert config["split"]["validation_share"] == 0.2
    assert config["trainer"]["epochs_without_validation"] == 30
    assert config["protocol"]["fit_on"] == "train"
    assert config["signal_removal"]["name"] == "leace"
    assert {"meters", "test"}.isdisjoint(config)
    assert upgrade_config(config) == config


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("split", "class_means"),
        ("full", "class_means_before_split"),
        ("train", "leace"),
        ("train_projection", "projection"),
        ("resistant", "matching"),
        ("quadratic", "quadratic"),
        ("none", "none"),
    ],
)
def test_every_removal_mode_has_a_name_of_today(old, new):
    assert upgrade_names({"signal_removal": old, "split": "sample"}) == {
        "signal_removal": new,
        "split": "sample",
    }


NET = {"_target_": "beyondlinear.classifier.NetworkModel"}


@pytest.mark.parametrize(
    ("model", "linear", "certified", "probabilities"),
    [
        (OLD_CONFIG["model"], True, False, True),
        (OLD_CONFIG["model"] | {"loss": "hinge"}, True, False, False),
        (
            {"_target_": "beyondlinear.linear.ridge.RidgeModel", "loss": "logistic"},
            True,
            True,
            True,
        ),
        (
            NET | {"loss": "cross_entropy", "network": {"_target_": "beyondlinear.networks.Deep"}},
            False,
            False,
            True,
        ),
        ({"_target_": "beyondlinear.estimators.EstimatorModel"}, False, False, False),
    ],
    ids=["logistic_regression", "linear_svm", "ridge_logistic", "a net", "random_forest"],
)
def test_what_a_model_states_follows_from_its_old_config(model, linear, certified, probabilities):
    assert model_properties({"model": model}) == {
        "linear": linear,
        "certified": certified,
        "probabilities": probabilities,
        "coefficients": linear,
    }


def test_arrays_have_todays_names():
    rows = np.array([[128], [64], [1]], dtype=np.uint8)
    names = np.array(["part:fit", "part:thinned fit", "step:weights"])
    arrays = upgrade_arrays({"ledger_names": names, "ledger_rows": rows, "code": np.ones(2)})
    assert arrays["row_usage_names"].tolist() == [
        "part:train",
        "part:thinned train",
        "step:weights",
    ]
    np.testing.assert_array_equal(arrays["row_usage_rows"], rows)
    assert set(arrays) == {"row_usage_names", "row_usage_rows", "code"}


@pytest.fixture
def old_run(tmp_path, old_record):
    """A run directory and a store as format 1 left them."""
    store = RecordStore(tmp_path / "records")
    names = np.array(["part:fit"])
    rows = np.array([[128]], dtype=np.uint8)
    arrays = {"scores": np.zeros((1, 2)), "ledger_names": names, "ledger_rows": rows}
    store.put(old_record, arrays)
    fit = {"key": old_record["key"], "fold": 0, "fraction": 1.0, "pretrained": None}
    listing = {
        "store": str(store.root),
        "names": OLD_NAMES,
        "seed": 0,
        "config": OLD_CONFIG,
        "fits": [fit],
    }
    write_json(tmp_path / "run" / "fits_x.json", listing)
    return tmp_path / "run", store


def test_the_table_of_an_old_run(old_run):
    directory, _ = old_run
    [fit] = gather([directory]).to_dict("records")
    assert (fit["signal_removal"], fit["n_outer_train"], fit["n_train"]) == ("leace", 30, 24)
    assert (fit["n_validation"], fit["n_test"], fit["forest"]) == (6, 29, 0.75)
    assert (fit["balanced_accuracy"], fit["seconds"], fit["status"]) == (0.75, 1.022, "done")


def test_an_old_pack_is_read_by_its_records(old_run):
    """The rows in its index have old columns, so that they do not serve."""
    directory, store = old_run
    before = gather([directory])
    list(pack([directory]))
    [path] = store.root.glob("packs/*.json")
    index = json.loads(path.read_text())
    for packed in index["fits"].values():
        row = packed["row"]
        row["n_validation"] = row.pop("n_test")
        row["n_tune"] = 6
        row["n_train"] = row.pop("n_outer_train")
        row["signal_removal"] = "train"
    path.write_text(json.dumps(index))
    assert gather([directory]).equals(before)
    assert gather([store.root]).signal_removal.tolist() == ["leace"]
    assert RecordStore(store.root).predictions(OLD_RECORD["key"])["row_usage_names"].tolist() == [
        "part:train"
    ]
