"""`beyondlinear results` and `audit`, as a user types them, on a sweep that a user ran."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_up import ROOT

SWEEP = [
    "-m",
    "model=logistic_regression,three_layer",
    "signal_removal=none,class_means",
    "hydra.sweep.dir=multirun/first",
    "dataset.n_samples=60",
    "dataset.n_genes=12",
    "trainer.max_epochs=2",
    "split.folds=2",
]


def beyondlinear(*arguments: str, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).parent / "beyondlinear"), *arguments]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("sweep")
    subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *SWEEP],
        cwd=directory,
        check=True,
        capture_output=True,
        timeout=600,
    )
    return directory


def test_one_tidy_table_of_all_fits_means_first(sweep):
    text = beyondlinear("results", "multirun/first", "--csv", "fits.csv", cwd=sweep).stdout
    assert text.index("balanced accuracy") < text.index("8 fits")
    table = pd.read_csv(sweep / "fits.csv")
    assert len(table) == 8
    assert table.groupby(["model", "signal_removal"]).size().tolist() == [2, 2, 2, 2]
    assert (table.status == "done").all()
    assert "naive baseline 0.50" in text


def test_means_only_and_parquet(sweep):
    text = beyondlinear(
        "results", "multirun/first", "--means", "--csv", "fits.parquet", cwd=sweep
    ).stdout
    assert "8 fits written to fits.parquet" in text
    assert text.count("three_layer") == 2
    assert len(pd.read_parquet(sweep / "fits.parquet")) == 8


def test_the_same_sweep_again_repeats_nothing(sweep):
    before = {p: p.stat().st_mtime_ns for p in (sweep / "outputs" / "records").glob("??/*.json")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *SWEEP],
        cwd=sweep,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("2 of 2 fits are done already") == 4
    assert {
        p: p.stat().st_mtime_ns for p in (sweep / "outputs" / "records").glob("??/*.json")
    } == before
    assert (
        len(
            beyondlinear("results", "multirun/first", "--means", cwd=sweep).stdout.split(
                "three_layer"
            )
        )
        == 3
    )


def test_a_directory_without_fits_is_an_error(tmp_path):
    done = beyondlinear("results", ".", cwd=tmp_path, expect=1)
    assert "lists no fits" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_audit_of_a_sweep_and_of_one_record(sweep):
    text = beyondlinear("audit", "multirun/first", cwd=sweep).stdout
    assert "note     removal=class_means  (4 of 8 fits)  oracle labels" in text
    assert "audit: no leak found in 8 fits" in text
    first = next((sweep / "outputs" / "records").glob("??/*.json"))
    assert "no leak found in 1 fit (" in beyondlinear("audit", str(first), cwd=sweep).stdout


def test_the_audit_of_a_leak_exits_with_1(train, tmp_path):
    settings = [
        "dataset.n_samples=60",
        "dataset.n_genes=12",
        "trainer.max_epochs=2",
        "split.folds=2",
    ]
    train("model=ridge_logistic", "protocol=paper", *settings)
    done = beyondlinear("audit", "outputs/records", cwd=tmp_path, expect=1)
    assert done.stdout.startswith("leak     fitted outside the train part  (2 of 2 fits)")
    assert "no leak" not in done.stdout


def test_the_audit_of_nothing_is_an_error(tmp_path):
    assert "does not exist" in beyondlinear("audit", "nowhere", cwd=tmp_path, expect=2).stderr
