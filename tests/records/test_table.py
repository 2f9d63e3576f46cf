import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from beyondlinear.records import table as tables
from beyondlinear.records.record import FORMAT
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import write_json

NAMES = {
    "dataset": "d", "task": "t", "model": "five_layer", "signal_removal": "none",
    "control": "none", "split": "sample", "protocol": "sound", "tuning": "none",
}  # fmt: skip
LINEAR = {"linear": True, "certified": False, "probabilities": True, "coefficients": True}
NETWORK = {"linear": False, "certified": False, "probabilities": True, "coefficients": False}


def record(key: str, accuracy: float | None, status: str = "done", **more) -> dict:
    names = NAMES | {k: more.pop(k) for k in list(more) if k in NAMES}
    base = {"key": key, "names": names, "seed": 0, "fold": 0, "fraction": 1.0, "status": status}
    base["format"] = FORMAT
    base["model"] = LINEAR if names["model"] == "logistic_regression" else NETWORK
    base["counts"] = {
        "n_outer_train": 80,
        "n_train": 64,
        "n_validation": 16,
        "n_test": 20,
        "n_train_groups": 40,
        "n_classes": 4,
    }
    if accuracy is not None:
        base |= {
            "metrics": {"balanced_accuracy": accuracy},
            "training": {"epochs": 3},
            "provenance": {"seconds": 1.5},
        }
    return base | more


def printed(function, table: pd.DataFrame) -> str:
    console = Console(width=200, file=io.StringIO())
    function(table, console)
    return console.file.getvalue()


def sweep(tmp_path, records: list[dict], listed: list[str] | None = None):
    store = RecordStore(tmp_path / "records")
    for r in records:
        store.put(r, {"scores": np.zeros((1, 2))})
    fits = [{"key": k, "fold": 0, "fraction": 1.0} for k in listed or [r["key"] for r in records]]
    write_json(
        tmp_path / "sweep" / "0" / "fits_x.json",
        {"store": str(store.root), "names": NAMES, "seed": 0, "config": {}, "fits": fits},
    )
    return tmp_path / "sweep"


def test_the_promised_columns():
    promised = (
        "dataset task model signal_removal split protocol seed fold fraction n_outer_train"
        " n_validation n_test n_train_groups n_classes balanced_accuracy accuracy macro_f1 auroc"
        " log_loss epochs seconds status key"
    )
    assert set(promised.split()) <= set(tables.COLUMNS)


def test_one_row_a_fit_and_means_over_folds_and_seeds():
    table = tables.as_table(
        [record("aa", 0.5), record("ab", 0.7, fold=1), record("ac", 0.9, seed=1)]
    )
    assert table.balanced_accuracy.tolist() == [0.5, 0.7, 0.9]
    cell = tables.cells(table).iloc[0]
    assert (cell["mean"], cell["fits"], cell["naive"]) == (pytest.approx(0.7), 3, 0.25)
    assert cell["sd"] == pytest.approx(0.2)
    assert "0.700 ± 0.200" in printed(tables.print_cells, table)


def test_skipped_failed_and_missing_fits_show(tmp_path):
    skipped = record("bb", None, "skipped", reason="class 'C' is missing from the validation part")
    directory = sweep(tmp_path, [record("aa", 0.5), skipped], listed=["aa", "bb", "cc"])
    table = tables.gather([directory])
    assert dict(zip(table.key, table.status, strict=True)) == {
        "aa": "done",
        "bb": "skipped",
        "cc": "missing",
    }
    text = printed(tables.print_cells, table)
    assert "1 of 3" in text
    assert "1 fit skipped: class 'C' is missing from the validation part" in text
    assert "1 fit missing" in text


def test_gathering_a_store_and_a_moved_store(tmp_path):
    directory = sweep(tmp_path, [record("aa", 0.5)])
    assert tables.gather([tmp_path / "records"]).key.tolist() == ["aa"]
    (tmp_path / "records").rename(tmp_path / "moved")
    assert tables.gather([directory]).status.tolist() == ["missing"]
    assert tables.gather([directory], store=str(tmp_path / "moved")).status.tolist() == ["done"]


def test_csv_and_parquet_by_the_name(tmp_path):
    table = tables.as_table([record("aa", 0.5), record("bb", None, "skipped", reason="why")])
    for name, read in (("fits.csv", pd.read_csv), ("fits.parquet", pd.read_parquet)):
        tables.write(table, str(tmp_path / name))
        back = read(tmp_path / name)
        assert list(back.columns) == tables.COLUMNS
        assert back.balanced_accuracy[0] == 0.5
        assert pd.isna(back.balanced_accuracy[1])
    with pytest.raises(ResultsError, match=r"must end in .csv, .csv.gz or .parquet"):
        tables.write(table, str(tmp_path / "fits.xlsx"))


def test_nothing_to_gather_is_said(tmp_path):
    with pytest.raises(ResultsError, match="lists no fits"):
        tables.gather([tmp_path])
    with pytest.raises(ResultsError, match="is not a directory"):
        tables.gather([tmp_path / "none"])


def test_different_settings_do_not_share_a_cell():
    """Two lrs of one model are no repeats of each other; different seeds, stores and other models'
    keys are."""

    def with_config(key: str, model: str, lr: float, seed: int) -> dict:
        config = {
            "model": {"name": model, "lr": lr},
            "seed": seed,
            "results": {"store": f"/{seed}"},
            "dataset": {"seed": seed},
        }
        return record(key, 0.5, model=model, seed=seed, config=config)

    table = tables.as_table(
        [
            with_config("aa", "five_layer", 1e-3, 0),
            with_config("ab", "five_layer", 1e-4, 0),
            with_config("ac", "five_layer", 1e-4, 1),
            with_config("ad", "linear_svm", 5e-2, 0),
        ]
    )
    cells = tables.cells(table).set_index("variant")
    assert cells.fits.to_dict() == {"model.lr=0.0001": 2, "model.lr=0.001": 1, "": 1}


def test_the_conclusion_is_made_of_the_tables_numbers():
    records = [
        record("aa", 0.97, model="logistic_regression"),
        record("ab", 0.99),
        record("ac", 0.26, model="logistic_regression", signal_removal="class_means"),
        record("ad", 0.93, signal_removal="class_means"),
    ]
    text = tables.conclusion(tables.as_table(records))
    assert "naive baseline 0.25" in text
    assert "with the signal present, linear models reach 0.97 and the other models 0.99" in text
    assert (
        "after class_means signal removal, linear models reach 0.26 and the other models 0.93"
        in text
    )
    assert "not by itself evidence of non-linear signal" in text


def test_the_certified_optimum_stands_beside_the_trained_model():
    optimum = {"objective_gap": 0.125, "metrics": {"balanced_accuracy": 0.75, "log_loss": 0.5}}
    table = tables.as_table(
        [record("aa", 0.7, model="logistic_regression", optimum=optimum), record("bb", 0.9)]
    )
    assert table.set_index("key").loc["aa", tables.OPTIMUM].tolist() == [0.125, 0.75, 0.5]
    text = printed(tables.print_cells, table)
    assert "optimum gap" in text
    assert "0.125" in text
    assert "optimum" not in printed(tables.print_cells, tables.as_table([record("bb", 0.9)]))


def test_pretrained_or_not_are_two_cells():
    table = tables.as_table(
        [record("aa", 0.5, pretrained=False), record("bb", 0.9, pretrained=True)]
    )
    text = printed(tables.print_cells, table)
    assert "pretrained" in text
    assert "0.500" in text
    assert "0.900" in text


def test_a_model_is_linear_by_what_its_record_states_and_not_by_its_name():
    """A copy of logistic_regression.yaml under another name, and a network that took its name."""
    records = [
        record("aa", 0.97, model="mine") | {"model": LINEAR},
        record("ab", 0.99, model="logistic_regression") | {"model": NETWORK},
    ]
    table = tables.as_table(records)
    assert table.set_index("model").linear.to_dict() == {"mine": True, "logistic_regression": False}
    text = tables.conclusion(table)
    assert "linear models reach 0.97 and the other models 0.99" in text


def test_a_record_that_does_not_say_counts_among_the_others_and_that_is_said():
    silent = record("aa", 0.97, model="mine")
    del silent["model"]
    table = tables.as_table([silent])
    assert table.linear.isna().all()
    text = tables.conclusion(table)
    assert "the other models 0.97" in text
    assert "The records of mine do not say whether the model is linear" in text
