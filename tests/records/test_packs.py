import json
import zipfile

import numpy as np
import pytest

from beyondlinear.evaluation.audit.stored_fits import audit_paths
from beyondlinear.records.gather import gather, pack, row
from beyondlinear.records.run_state import RunState, plan
from beyondlinear.records.store import RecordStore, load_record
from beyondlinear.runtime.errors import ResultsError

TINY = [
    "dataset.n_samples=60",
    "dataset.n_genes=12",
    "split.folds=2",
    "trainer.threads=1",
    "trainer.max_epochs=2",
    "model=logistic_regression",
    "logger=none",
]


@pytest.fixture
def made(run_here, tmp_path):
    records = run_here(*TINY)
    return records, RecordStore(tmp_path / "records"), tmp_path / "run0"


def test_a_packed_store_says_what_it_said_before(made):
    records, store, directory = made
    before = gather([directory])
    predictions = {r["key"]: store.predictions(r["key"]) for r in records}
    findings = [[f.__dict__ for f in found] for _, found in audit_paths([directory])]
    assert list(pack([directory])) == [(directory, 2, 1)]
    assert not list(store.root.glob("??/*"))
    assert len(list(store.root.glob("packs/*"))) == 2
    again = RecordStore(store.root)
    for record in records:
        key = record["key"]
        assert again.get(key) == record
        assert again.status(key) == "done"
        assert (
            load_record(store.path(key))[0] == record
        )  # a path that was noted before still leads to the record
        for name, values in predictions[key].items():
            np.testing.assert_array_equal(again.predictions(key)[name], values)
    assert gather([directory]).equals(before)
    assert gather([store.root]).drop(columns="variant").equals(before.drop(columns="variant"))
    assert [[f.__dict__ for f in found] for _, found in audit_paths([directory])] == findings
    assert list(pack([directory])) == [(directory, 0, 0)]


def test_killed_between_pack_and_index(made):
    """Without its index a pack is not there, and the records still are."""
    records, store, directory = made
    held = {p: p.read_bytes() for p in store.root.glob("??/*")}
    list(pack([directory]))
    [index] = store.root.glob("packs/*.json")
    index.unlink()
    for path, content in held.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert [RecordStore(store.root).get(r["key"]) for r in records] == records
    list(pack([directory]))
    assert [RecordStore(store.root).get(r["key"]) for r in records] == records


def test_only_what_is_finished_is_packed(made):
    records, store, directory = made
    path = store.path(records[0]["key"])
    path.write_text(json.dumps(records[0] | {"status": "failed", "reason": "boom"}, indent=1))
    assert list(pack([directory])) == [(directory, 1, 1)]
    assert path.exists()
    assert RecordStore(store.root).status(records[0]["key"]) == "failed"


def test_a_damaged_pack_is_named(made):
    records, store, directory = made
    list(pack([directory]))
    [archive] = store.root.glob("packs/*.zip")
    archive.write_bytes(b"not a zip")
    with pytest.raises(ResultsError, match="not a readable pack of records"):
        RecordStore(store.root).get(records[0]["key"])
    archive.with_suffix(".json").write_text("{")
    with pytest.raises(ResultsError, match="not a readable index of records"):
        RecordStore(store.root).get(records[0]["key"])


def test_a_pack_of_an_older_version_without_all_columns_is_read_record_by_record(made):
    _, store, directory = made
    before = gather([directory])
    list(pack([directory]))
    [path] = store.root.glob("packs/*.json")
    index = json.loads(path.read_text())
    for entry in index["fits"].values():
        del entry["row"]["auroc"]
    path.write_text(json.dumps(index))
    assert gather([directory]).equals(before)


def test_members_are_the_files_as_they_were(made):
    records, store, directory = made
    content = store.path(records[0]["key"]).read_bytes()
    list(pack([directory]))
    with zipfile.ZipFile(next(store.root.glob("packs/*.zip"))) as archive:
        assert archive.read(f"{records[0]['key']}.json") == content
    assert set(row(records[0])) >= {"key", "balanced_accuracy"}


def test_two_different_fits_of_one_cell_are_refused(run_here, tmp_path):
    """The same command on other data of the same name is no repeat."""
    first = run_here(*TINY)
    second = run_here(*TINY)
    assert [r["key"] for r in first] == [r["key"] for r in second]
    assert len(gather([tmp_path / "run0", tmp_path / "run1"])) == 2  # found twice, made once
    record = first[0] | {"key": "ff" * 16}
    RecordStore(tmp_path / "records").put(
        record, RecordStore(tmp_path / "records").predictions(first[0]["key"])
    )
    with pytest.raises(
        ResultsError,
        match=r"2 fits are there more than once with different content, .*seed 0, fold 0",
    ):
        gather([tmp_path / "records"])


def test_a_run_that_was_planned_and_lists_no_fits_is_named(made):
    _, _, directory = made
    plan(directory, [["seed=0"], ["seed=7"]], ["train.py"])
    with RunState(directory, ["seed=0"]):
        pass
    assert gather([directory]).attrs["absent"] == ["seed=7"]


def test_nothing_to_pack(tmp_path):
    with pytest.raises(ResultsError, match="lists no fits"):
        list(pack([tmp_path]))
