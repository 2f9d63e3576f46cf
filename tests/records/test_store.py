import json

import numpy as np
import pytest

from beyondlinear.records.store import RecordStore, load_record, read_record
from beyondlinear.runtime.errors import ResultsError


def test_a_file_that_is_no_record_is_named(tmp_path):
    store = RecordStore(tmp_path)
    store.put({"key": "ab12"})
    store.path("ab12").write_text("{}")
    with pytest.raises(ResultsError, match="ab12.json is not a readable record"):
        store.get("ab12")


def test_a_fit_without_its_predictions_is_not_done(tmp_path):
    store = RecordStore(tmp_path)
    store.put({"key": "ab12", "status": "done"}, {"scores": np.zeros((2, 2))})
    store.path("ab12").with_suffix(".npz").unlink()
    assert store.get("ab12") is None


def test_a_record_and_its_predictions_come_back(tmp_path):
    store = RecordStore(tmp_path)
    predictions = {
        "sample_id": np.array(["s1", "ß2"]),
        "scores": np.array([[0.1, 0.9], [0.5, 0.5]]),
    }
    store.put(
        {
            "key": "ab12",
            "status": "done",
            "metrics": {"log_loss": float("nan"), "auroc": np.float64(0.5)},
        },
        predictions,
    )
    assert store.get("ab12")["metrics"] == {"log_loss": None, "auroc": 0.5}
    assert store.predictions("ab12")["sample_id"].tolist() == ["s1", "ß2"]
    assert store.get("ffff") is None
    assert [r["key"] for r in store.records()] == ["ab12"]


def test_a_damaged_record_is_named(tmp_path):
    store = RecordStore(tmp_path)
    store.put({"key": "ab12"})
    store.path("ab12").write_text('{"key": "ab')
    with pytest.raises(ResultsError, match=r"ab12.json is not a readable record.*delete it"):
        store.get("ab12")


def test_the_names_of_arrays_without_reading_them(tmp_path):
    store = RecordStore(tmp_path)
    store.put({"key": "ab12", "status": "done"}, {"scores": np.zeros((2, 2)), "code": np.ones(2)})
    assert store.array_names("ab12") == {"scores", "code"}
    assert store.array_names("ffff") == set()


def test_the_status_is_read_without_the_record(tmp_path):
    store = RecordStore(tmp_path)
    store.put({"key": "ab12", "status": "skipped", "tuning": {"status": "done"}})
    assert store.status("ab12") == "skipped"
    assert store.status("ffff") is None


def test_a_path_leads_to_its_record_be_it_a_copy(tmp_path):
    store = RecordStore(tmp_path / "records")
    store.put({"key": "ab12", "status": "done"}, {"scores": np.zeros((2, 2))})
    path = store.path("ab12")
    record, arrays = load_record(path)
    assert (record["key"], list(arrays)) == ("ab12", ["scores"])
    copy = tmp_path / "elsewhere.json"
    copy.write_bytes(path.read_bytes())
    assert load_record(copy) == (read_record(path), None)
    with pytest.raises(ResultsError, match="is no record of a done fit"):
        load_record(tmp_path / "records" / "ff" / "ffff.json")


def test_a_record_that_somebody_changed_is_named(tmp_path):
    store = RecordStore(tmp_path)
    store.put({"key": "ab12"})
    store.path("ab12").write_text(json.dumps({"key": "ab12", "counts": [1, 2]}))
    with pytest.raises(ResultsError, match="ab12.json is not a readable record"):
        store.get("ab12")
