"""What only adds to a record is no part of its key; a found record that lacks it is not enough."""

import copy
import json

import numpy as np
import pytest

from beyondlinear.records.completeness import lacks
from beyondlinear.records.store import RecordStore

CONFIG = {
    "model": {"report_optimum": None},
    "leak_probes": {"trees": 5},
    "results": {"keep_model": False},
}
RECORD = {
    "key": "ab12",
    "status": "done",
    "names": {"signal_removal": "leace"},
    "config": CONFIG,
    "model": {"linear": True, "certified": False, "probabilities": True, "coefficients": True},
    "leak_probes": {"norm_auc": 0.5, "forest": 0.5},
    "training": {"epochs": 3},
}


def asked(path: str, value: object) -> dict:
    config = copy.deepcopy(CONFIG)
    group, key = path.split(".")
    config[group][key] = value
    return config


@pytest.fixture
def store(tmp_path) -> RecordStore:
    store = RecordStore(tmp_path)
    store.put(RECORD, {"scores": np.zeros((2, 2))})
    return store


def test_the_same_config_finds_all(store):
    assert lacks(RECORD, CONFIG, store) is None


def test_a_kept_model(store):
    config = asked("results.keep_model", True)
    assert lacks(RECORD, config, store) == "the kept model (results.keep_model)"
    store.put(RECORD, {"model_gene_ids": np.array(["g1"])})
    assert lacks(RECORD, config, store) is None


def test_a_model_that_cannot_be_kept_is_not_asked_for(store):
    config = asked("results.keep_model", True)
    assert lacks(RECORD | {"training": {"epochs": None}}, config, store) is None  # a forest
    certified = {"training": {"epochs": None}, "model": RECORD["model"] | {"certified": True}}
    assert lacks(RECORD | certified, config, store) is not None
    # it was asked for when the fit was made, and is not there: it will not be there again
    assert lacks(RECORD | {"config": config}, config, store) is None


@pytest.mark.parametrize(
    ("removal", "made_with", "trees", "is_lacking"),
    [
        ("leace", 5, 5, False),
        ("leace", 5, 0, False),
        ("leace", 5, 100, True),
        ("leace", 0, 100, True),
        ("none", 0, 100, False),
    ],
)
def test_a_forest_of_the_leak_probes(store, removal, made_with, trees, is_lacking):
    probes = {"norm_auc": 0.5} | ({"forest": 0.5} if made_with else {})
    record = RECORD | {
        "names": {"signal_removal": removal},
        "config": asked("leak_probes.trees", made_with),
        "leak_probes": probes,
    }
    lacking = lacks(record, asked("leak_probes.trees", trees), store)
    assert lacking == ("the forest of the leak probes (leak_probes.trees)" if is_lacking else None)


@pytest.mark.parametrize(
    ("optimum", "then", "now", "is_lacking"),
    [
        (None, None, 2e7, True),
        (None, None, None, False),
        ({"objective": 0.5}, 2e7, 4e7, False),
        ({"reason": "not solved: its size"}, 2e7, 2e7, False),
        ({"reason": "not solved: its size"}, 2e7, 4e7, True),
        ({"objective": 0.5}, 2e7, None, False),
    ],
)
def test_the_certified_optimum(store, optimum, then, now, is_lacking):
    record = RECORD | {"config": asked("model.report_optimum", then)}
    if optimum is not None:
        record["optimum"] = optimum
    lacking = lacks(record, asked("model.report_optimum", now), store)
    assert lacking == ("the certified optimum (model.report_optimum)" if is_lacking else None)


def test_a_skipped_fit_lacks_nothing(store):
    skipped = RECORD | {"status": "skipped"}
    assert lacks(skipped, asked("results.keep_model", True), store) is None


def test_the_names_of_arrays_are_read_in_a_pack_too(store):
    row = json.loads(json.dumps(RECORD))
    store.pack("run", ["ab12"], lambda record: row)
    assert not store.path("ab12").exists()
    config = asked("results.keep_model", True)
    assert lacks(store.get("ab12"), config, store) == "the kept model (results.keep_model)"
