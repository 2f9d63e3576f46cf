"""Nothing is hidden: damaged, missing, unbegun and mixed records are named."""

import json

import pytest
from made_up_reports import judged, missing_texts

from beyondlinear.records.run_state import plan, run_id
from beyondlinear.report.cells import cells
from beyondlinear.report.reading import read
from beyondlinear.runtime.errors import ResultsError


def test_nothing_to_report(tmp_path):
    with pytest.raises(ResultsError, match="nothing to report"):
        read([tmp_path])
    with pytest.raises(ResultsError, match="is not a directory"):
        read([tmp_path / "absent"])


def test_a_corrupt_record_costs_its_fit_alone(make_sweep, tmp_path):
    make_sweep(tmp_path)
    first, second = sorted((tmp_path / "records").glob("??/*.json"))[:2]
    first.write_text("{")
    record = json.loads(second.read_text())
    record["metrics"] = "high"
    second.write_text(json.dumps(record))
    reading = read([tmp_path])
    assert len(reading.done) == 2 * 2 * 5 * 2 - 2
    said = missing_texts(reading)
    assert str(first) in said
    assert "is damaged" in said
    assert judged(reading)[0].limits.text.count("samples")


def test_a_lost_record_is_missing_and_a_whole_cell_is_a_gap(make_sweep, tmp_path):
    make_sweep(tmp_path)
    next((tmp_path / "records").glob("??/*.json")).unlink()
    next(p for p in tmp_path.glob("fits_*") if "three_layer_class_means" in p.name).unlink()
    said = missing_texts(read([tmp_path]))
    assert "three_layer, removal class_means, control none: no fit at all" in said
    assert "missing: " in said


def test_a_sweep_that_was_cut_off(make_sweep, tmp_path):
    make_sweep(tmp_path)
    plan(tmp_path, [["seed=0"], ["seed=1"], ["seed=2"]], ["train.py"])
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['seed=0,1,2'], hydra: [hydra.sweep.dir=x]}}"
    )
    for number in (0, 2):
        run = tmp_path / f"data_model_none_seed{number}_{run_id([f'seed={number}'])}"
        run.mkdir()
        next(tmp_path.glob("fits_*.json")).rename(run / f"fits_{number}.json")
    reading = read([tmp_path])
    assert "has 3 runs, of which 1 were never begun, e.g. seed=1" in missing_texts(reading)
    assert reading.commands == ["python train.py -m seed=0,1,2 hydra.sweep.dir=x"]


def test_one_fold_one_seed_no_control(make_sweep, tmp_path):
    reading = read([make_sweep(tmp_path, folds=1)])
    said = missing_texts(reading)
    assert "one fold" in said
    assert "one seed" in said
    assert "signal removal without control=linear_labels" in said
    (verdict,) = judged(reading)
    assert verdict.warranted.answer == "open"
    assert verdict.beyond.answer == "not asked"
    assert "that a model predicts after removal does not show it" in verdict.beyond.text


def test_mixed_data_sets_stay_apart(make_sweep, tmp_path):
    reading = read([make_sweep(tmp_path, datasets=("first", "second"))])
    assert [v.panel for v in judged(reading)] == ["first", "second"]


def test_tasks_of_one_data_set_stay_apart(make_sweep, tmp_path):
    """A user's data go by the name of the file; labels are told apart, and no fit counts for
    both."""
    make_sweep(tmp_path / "a", datasets=("file",), task="cohort", classes=("BRCA", "LUAD", "KIRC"))
    make_sweep(
        tmp_path / "b",
        datasets=("file",),
        task="sample_type",
        accuracy=0.9,
        classes=("normal", "tumor"),
    )
    reading = read([tmp_path])
    assert [v.panel for v in judged(reading)] == ["mine, cohort", "mine, sample_type"]
    found = cells(reading)[0]
    assert found.groupby("panel").naive.unique().map(list).to_dict() == {
        "mine, cohort": [1 / 3],
        "mine, sample_type": [0.5],
    }
    assert (found.done == 5).all()
