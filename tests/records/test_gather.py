"""Rows of the table from records, runs and stores."""

import numpy as np
import pytest

from beyondlinear.records.columns import COLUMNS
from beyondlinear.records.gather import gather, is_true, row
from beyondlinear.records.record import FORMAT
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import write_json

NAMES = {
    "dataset": "d", "task": "t", "model": "mine", "signal_removal": "none",
    "control": "none", "split": "sample", "protocol": "sound", "tuning": "none",
}  # fmt: skip


def record(key: str, fold: int = 0, **more) -> dict:
    made = {
        "format": FORMAT,
        "key": key,
        "names": NAMES,
        "seed": 0,
        "fold": fold,
        "fraction": 1.0,
        "pretrained": None,
        "data": {"control": {"agreement": 0.7}, "bayes_accuracy": 0.9},
        "config": {"control": {"draw": 3, "direction": "fitted"}, "dataset": {"seed": 0}},
        "status": "done",
        "model": {"linear": True, "certified": False, "probabilities": True, "coefficients": True},
        "counts": {"n_outer_train": 80, "n_train": 64, "n_validation": 16, "n_classes": 4},
        "metrics": {"balanced_accuracy": 0.5, "auroc": None},
        "leak_probes": {"norm_auc": 0.6, "forest": 0.4},
        "optimum": {"objective_gap": 0.1, "metrics": {"log_loss": 0.3}},
        "training": {"epochs": 3},
        "provenance": {"seconds": 1.5},
    }
    return made | more


def test_a_row_holds_what_the_record_states():
    made = row(record("aa"))
    assert list(made) == COLUMNS
    assert (made["model"], made["linear"], made["certified"]) == ("mine", True, False)
    assert (made["n_outer_train"], made["n_train"], made["n_validation"]) == (80, 64, 16)
    assert (made["norm_auc"], made["forest"]) == (0.6, 0.4)
    assert (made["optimum_gap"], made["optimum_log_loss"]) == (0.1, 0.3)
    assert (made["agreement"], made["bayes_accuracy"], made["draw"]) == (0.7, 0.9, 3)
    assert made["n_test"] is None
    assert made["auroc"] is None


def test_a_run_gives_its_own_choices_to_records_that_it_found(tmp_path):
    store = RecordStore(tmp_path / "records")
    store.put(record("aa"), {"scores": np.zeros((1, 2))})
    run = {
        "store": str(store.root),
        "names": NAMES | {"dataset": "other_name"},
        "seed": 0,
        "config": {"control": {"draw": 4}},
        "fits": [
            {"key": key, "fold": fold, "fraction": 1.0} for fold, key in enumerate(["aa", "bb"])
        ],
    }
    write_json(tmp_path / "run" / "fits_x.json", run)
    table = gather([tmp_path / "run"]).set_index("key")
    assert table.dataset.tolist() == ["other_name", "other_name"]
    assert table.draw["aa"] == 4
    assert table.status.to_dict() == {"aa": "done", "bb": "missing"}
    assert is_true(table.linear).to_dict() == {"aa": True, "bb": False}
    assert table.linear.isna()["bb"]  # nothing is known of it


def test_two_fits_of_one_cell_and_fold_are_refused(tmp_path):
    store = RecordStore(tmp_path / "records")
    for key in ("aa", "bb"):
        store.put(record(key), {"scores": np.zeros((1, 2))})
    with pytest.raises(ResultsError, match="2 fits are there more than once") as error:
        gather([tmp_path / "records"])
    assert "records aa and bb" in str(error.value)
