"""Every field of a record is documented, and a record has no other field."""

import ast
import inspect

import pytest
from typed_records import strange

from beyondlinear.records import record as record_module
from beyondlinear.records.record import Counts, FitRecord
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import SplitError

TINY = [
    "dataset.n_samples=60",
    "dataset.n_genes=12",
    "split.folds=2",
    "trainer.threads=1",
    "trainer.max_epochs=2",
    "leak_probes.trees=5",
    "logger=none",
]


def test_every_field_has_a_comment():
    source = inspect.getsource(record_module)
    lines = source.splitlines()
    undocumented = []
    n_fields = 0
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        for field in node.body:
            if not isinstance(field, ast.AnnAssign):
                continue
            n_fields += 1
            above = lines[field.lineno - 2].strip()
            own = lines[field.lineno - 1 : field.end_lineno]
            if not above.startswith("#") and not any("  # " in line for line in own):
                undocumented.append(f"{node.name}.{ast.unparse(field.target)}")
    assert n_fields > 100
    assert undocumented == []


def test_the_check_below_finds_what_is_strange():
    counts = {"n_outer_train": "30", "n_classes": 2, "n_fit": 24}
    assert strange(counts, Counts, "counts") == [
        "counts.n_fit: no field of Counts",
        "counts.n_outer_train: '30' is no <class 'int'>",
    ]
    assert strange({"n_classes": 2}, Counts, "counts") == ["counts.n_outer_train is missing"]


@pytest.mark.parametrize(
    "choices",
    [
        ["model=logistic_regression", "signal_removal=leace", "tuning=random", "tuning.trials=2"],
        ["model=ridge_logistic", "signal_removal=class_means", "control=linear_labels"],
        ["model=random_forest", "signal_removal=none"],
    ],
    ids=lambda choices: choices[0],
)
def test_a_record_has_the_fields_of_its_type_and_no_other(run_here, choices):
    for record in run_here(*TINY, *choices):
        assert record["status"] == "done", record.get("traceback")
        assert strange(record, FitRecord) == []


def test_a_skipped_fit_has_no_other_field_either(run_here, tmp_path):
    with pytest.raises(SplitError, match="no fit of this run is possible"):
        run_here(
            *TINY, "model=random_forest", "signal_removal=class_means", "split.fractions=[0.1]"
        )
    records = list(RecordStore(tmp_path / "records").records())
    assert [record["status"] for record in records] == ["skipped", "skipped"]
    assert [strange(record, FitRecord) for record in records] == [[], []]
