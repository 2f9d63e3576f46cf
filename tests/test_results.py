import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beyondlinear.errors import ResultsError
from beyondlinear.results import Store, fit_key, run_key, write_json
from beyondlinear.splits import Fold

CONFIG = {
    "dataset": {"name": "file", "expression": "/a/x.csv"},
    "split": {"name": "donor", "folds": 5, "fractions": [1.0], "only_folds": None},
    "model": {"name": "five_layer", "optimizer": {"lr": 1e-4}},
    "trainer": {"threads": 2},
    "protocol": {"name": "sound", "learning_rate": {"net": 1e-4}},
    "tuning": {"name": "none", "method": "none", "trials": 25},
    "control": {"name": "none", "draw": 0},
    "logger": {"name": "csv", "save_dir": "/runs/1"},
    "results": {"store": "/records"},
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
    ["dataset.expression", "logger.save_dir", "results.store", "split.fractions", "split.only_folds", "tuning.trials"],
)
def test_the_key_ignores_what_does_not_determine_a_fit(path):
    assert fit_key(changed(path, "other"), "data", FOLD, 1.0) == fit_key(CONFIG, "data", FOLD, 1.0)


@pytest.mark.parametrize(
    ("path", "value"), [("model.optimizer.lr", 2e-4), ("seed", 1), ("trainer.threads", 1), ("split.folds", 4)]
)
def test_the_key_sees_what_determines_a_fit(path, value):
    assert fit_key(changed(path, value), "data", FOLD, 1.0) != fit_key(CONFIG, "data", FOLD, 1.0)


def test_the_key_sees_data_fold_and_fraction_and_not_the_order_of_keys():
    folds = [FOLD, Fold(1, FOLD.train, FOLD.validation)]
    keys = {fit_key(CONFIG, d, f, s) for d in ("a", "b") for f in folds for s in (0.5, 1.0)}
    assert len(keys) == 8
    assert fit_key(dict(reversed(CONFIG.items())), "a", FOLD, 1) == fit_key(CONFIG, "a", FOLD, 1.0)


def test_a_pretrained_fit_and_its_twin_are_two():
    assert len({fit_key(CONFIG, "data", FOLD, 1.0, pretrained) for pretrained in (None, False, True)}) == 3


def test_the_key_sees_which_rows_a_fold_holds_out():
    """A fold column that was changed, or samples without a fold that only train: same numbers, other fits."""
    other = Fold(0, np.array([0, 1, 3]), np.array([2, 4]))
    shorter = Fold(0, np.array([0, 1]), np.array([3, 4]))
    assert len({fit_key(CONFIG, "data", f, 1.0) for f in (FOLD, other, shorter)}) == 3


def test_a_run_keeps_the_name_of_its_list_when_only_paths_of_trackers_change():
    assert run_key(changed("logger.save_dir", "/runs/2")) == run_key(CONFIG)
    assert run_key(changed("seed", 1)) != run_key(CONFIG)


def test_a_file_that_is_no_record_is_named(tmp_path):
    store = Store(tmp_path)
    store.put({"key": "ab12"})
    store.path("ab12").write_text("{}")
    with pytest.raises(ResultsError, match="ab12.json is not a readable record"):
        store.get("ab12")


def test_a_fit_without_its_predictions_is_not_done(tmp_path):
    store = Store(tmp_path)
    store.put({"key": "ab12", "status": "done"}, {"scores": np.zeros((2, 2))})
    store.path("ab12").with_suffix(".npz").unlink()
    assert store.get("ab12") is None


def test_a_record_and_its_predictions_come_back(tmp_path):
    store = Store(tmp_path)
    predictions = {"sample_id": np.array(["s1", "ß2"]), "scores": np.array([[0.1, 0.9], [0.5, 0.5]])}
    store.put(
        {"key": "ab12", "status": "done", "metrics": {"log_loss": float("nan"), "auroc": np.float64(0.5)}}, predictions
    )
    assert store.get("ab12")["metrics"] == {"log_loss": None, "auroc": 0.5}
    assert store.predictions("ab12")["sample_id"].tolist() == ["s1", "ß2"]
    assert store.get("ffff") is None
    assert [r["key"] for r in store.records()] == ["ab12"]


def test_a_damaged_record_is_named(tmp_path):
    store = Store(tmp_path)
    store.put({"key": "ab12"})
    store.path("ab12").write_text('{"key": "ab')
    with pytest.raises(ResultsError, match=r"ab12.json is not a readable record.*delete it"):
        store.get("ab12")


def test_a_writer_killed_half_way_leaves_the_old_record(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"n": 1})
    script = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "from beyondlinear import results\n"
        "json.dump = lambda content, f, **k: (f.write('{\"n\": '), f.flush(), os._exit(9))\n"
        f"results.write_json(Path({str(path)!r}), {{'n': 2}})\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert json.loads(path.read_text()) == {"n": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_said_and_nothing_half_written_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "beyondlinear.results.tempfile.mkstemp", lambda **k: (os.open("/dev/null", os.O_RDONLY), "/dev/full")
    )
    monkeypatch.setattr("beyondlinear.results.Path.unlink", lambda *a, **k: None)
    with pytest.raises(ResultsError, match="No space left on device.*make room.*same command again"):
        write_json(tmp_path / "record.json", {"n": 1})
    assert not (tmp_path / "record.json").exists()
