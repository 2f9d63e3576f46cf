"""A whole run, through the real config: what it writes, that it resumes, that it gives the same
bits again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made_up import ROOT, mean_accuracy

from beyondlinear.models import network_model
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError, SplitError

TINY = [
    "dataset=simulated_mixed",
    "dataset.n_samples=80",
    "dataset.n_genes=20",
    "trainer.max_epochs=3",
    "trainer.threads=1",
    "logger=none",
]
MODELS = [
    *("logistic_regression", "linear_svm", "three_layer", "five_layer"),
    *("random_forest", "ridge_logistic", "ridge_svm"),
]


def without_provenance(record: dict) -> dict:
    return {k: v for k, v in record.items() if k != "provenance"}


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


@pytest.mark.parametrize("model", MODELS)
def test_the_same_config_gives_the_same_record_and_predictions(run_here, tmp_path, model):
    overrides = [
        *TINY,
        f"model={model}",
        "signal_removal=class_means",
        "split.folds=2",
        "split.fractions=[0.6]",
    ]
    if model == "random_forest":
        overrides = [o for o in overrides if o != "logger=none"] + [
            "+model.estimator.max_depth=4",
            "logger=none",
        ]
    first, again = run_here(*overrides, store="one"), run_here(*overrides, store="two")
    assert [r["status"] for r in first] == ["done", "done"]
    for a, b in zip(first, again, strict=True):
        a["config"]["results"] = b["config"]["results"] = None
        assert without_provenance(a) == without_provenance(b)
        assert same_bits(
            RecordStore(tmp_path / "one").predictions(a["key"]),
            RecordStore(tmp_path / "two").predictions(b["key"]),
        )


def test_a_record_says_what_determined_it(run_here, tmp_path):
    (record,) = run_here(
        *TINY, "model=three_layer", "split.only_folds=[1]", "split.fractions=[0.5]"
    )
    assert record["names"] == {
        "dataset": "simulated_mixed",
        "task": "label",
        "model": "three_layer",
        "signal_removal": "none",
        "control": "none",
        "split": "sample",
        "protocol": "sound",
        "tuning": "none",
    }
    assert (record["fold"], record["fraction"], record["seed"]) == (1, 0.5, 0)
    counts = record["counts"]
    assert (
        counts["n_outer_train"],
        counts["n_train"] + counts["n_validation"],
        counts["n_test"],
    ) == (32, 32, 16)
    assert record["hyperparameters"]["n_parameters"] == 20 * 10 + 10 + 10 * 5 + 5 + 5 * 2 + 2
    # 3e-4 is meant for 5,000 genes; with 20 it grows to the most it may
    assert record["config"]["model"]["optimizer"]["lr"] == 3e-4
    assert record["hyperparameters"]["lr"] == 0.03
    assert len(record["training"]["history"]) == record["training"]["epochs"] == 3
    assert record["data"]["n_samples"] == 80
    assert {"torch", "python", "beyondlinear"} <= set(record["provenance"]["versions"])
    predictions = RecordStore(tmp_path / "records").predictions(record["key"])
    assert predictions["scores"].shape == (16, 2)
    assert np.allclose(predictions["probabilities"].sum(1), 1)
    recall = [
        (predictions["scores"].argmax(1) == c)[predictions["code"] == c].mean() for c in (0, 1)
    ]
    assert np.mean(recall) == pytest.approx(record["metrics"]["balanced_accuracy"])


def test_finished_fits_are_not_repeated_and_longer_lists_reuse_them(run_here):
    first = run_here(*TINY, "model=logistic_regression", "split.fractions=[0.5]")
    more = run_here(*TINY, "model=logistic_regression", "split.fractions=[0.5,1.0]")
    stamp = {r["key"]: r["provenance"]["finished"] + str(r["provenance"]["seconds"]) for r in first}
    reused = [r for r in more if r["key"] in stamp]
    assert len(more) == 10
    assert {
        r["key"]: r["provenance"]["finished"] + str(r["provenance"]["seconds"]) for r in reused
    } == stamp


def test_a_failed_fit_costs_no_other_and_is_made_again(run_here, monkeypatch):
    real = network_model.predict
    calls = iter([1, *[0] * 20])  # the first fit's

    def flaky(network, x):
        if next(calls):
            raise RuntimeError("out of memory")
        return real(network, x)

    monkeypatch.setattr(network_model, "predict", flaky)
    overrides = [*TINY, "model=logistic_regression", "split.folds=3"]
    with pytest.raises(
        ResultsError, match="1 of 3 fits failed, the first with RuntimeError: out of memory"
    ):
        run_here(*overrides)
    monkeypatch.setattr(network_model, "predict", real)
    assert [r["status"] for r in run_here(*overrides)] == ["done"] * 3


def test_a_run_without_any_possible_fit_names_class_and_counts(run_here):
    # 40 samples of a class with 1 % of them: 1 sample, which cannot be in train, validation and
    # test
    with pytest.raises(
        SplitError,
        match=(
            r"no fit of this run is possible.*class 'class_1'.*1 of its samples|class"
            r" 'class_1'.*0 of"
        ),
    ):
        run_here(
            "dataset=simulated_noise",
            "dataset.n_samples=100",
            "dataset.n_genes=5",
            "dataset.minority=0.01",
            *TINY[3:],
        )


def test_a_class_missing_from_validation_shifts_no_code(run_here, tmp_path):
    """Bug 1 of the published code, end to end: three separable classes, the first absent from one
    held-out fold."""
    rng = np.random.default_rng(0)
    labels = ["A"] * 60 + ["B"] * 60 + ["C"] * 60
    x = (np.repeat(np.eye(3), 60, axis=0) * 10 + rng.normal(0, 1, (180, 3))).astype(np.float32)
    fold = ["one"] * 60 + ["one", "two"] * 60  # fold two holds B and C alone
    lines = ["id,label,fold", *(f"s{i},{label},{fold[i]}" for i, label in enumerate(labels))]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    rows = ["id,g1,g2,g3", *(f"s{i}," + ",".join(f"{v:.4f}" for v in x[i]) for i in range(180))]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    expression, metadata = (
        f"dataset.expression={tmp_path / 'x.csv'}",
        f"dataset.metadata={tmp_path / 'm.csv'}",
    )
    files = ["dataset=file", expression, metadata, "logger=none"]
    with pytest.raises(SplitError):  # fold one is held out with all of A: nothing to train A on
        run_here(
            *files,
            "model=logistic_regression",
            "split=column",
            "split.column=fold",
            "split.only_folds=[0]",
        )
    (record,) = run_here(
        *files,
        "model=logistic_regression",
        "split=column",
        "split.column=fold",
        "split.only_folds=[1]",
    )
    assert record["held_out"] == "two"
    assert record["data"]["classes"] == ["A", "B", "C"]
    assert np.sum(record["confusion"], axis=1).tolist() == [0, 60 // 2, 60 // 2]
    assert record["metrics"]["balanced_accuracy"] >= 0.99
    assert "1 of 3 classes are absent from test and not scored" in record["notes"]


def test_protocol_paper_is_the_papers_choices(compose_config):
    cfg = compose_config("protocol=paper", "model=three_layer")
    assert (cfg.scale.name, cfg.trainer.batch_size, cfg.trainer.gradient_clip) == (
        "minmax",
        16,
        0.01,
    )
    assert (cfg.model.optimizer.lr, cfg.model.lr_at_genes, cfg.trainer.stop_below) == (
        1e-5,
        None,
        None,
    )
    assert cfg.model.network.initialisation == "torch"


def own_data(directory: Path, folds: list[int]) -> list[str]:
    rng = np.random.default_rng(0)
    labels = ["a", "b"] * 30
    lines = ["id,label,fold", *(f"s{i},{label},{folds[i]}" for i, label in enumerate(labels))]
    (directory / "m.csv").write_text("\n".join(lines))
    rows = ["id,g1,g2", *(f"s{i},{rng.normal() + i % 2:.4f},{rng.normal():.4f}" for i in range(60))]
    (directory / "x.csv").write_text("\n".join(rows))
    files = [f"dataset.expression={directory / 'x.csv'}", f"dataset.metadata={directory / 'm.csv'}"]
    return [
        "dataset=file",
        *files,
        "split=column",
        "split.column=fold",
        "model=logistic_regression",
        "logger=none",
    ]


def test_a_changed_fold_column_is_a_new_fit(run_here, tmp_path):
    before = run_here(*own_data(tmp_path, [i // 2 % 3 for i in range(60)]))
    after = run_here(*own_data(tmp_path, [i // 20 for i in range(60)]))
    assert not {r["key"] for r in before} & {r["key"] for r in after}


def test_a_fit_made_by_another_run_in_the_meantime_is_taken_over(run_here, tmp_path, monkeypatch):
    overrides = [*TINY, "model=logistic_regression", "split.folds=2"]
    made = {r["key"]: r for r in run_here(*overrides)}
    real, asked = RecordStore.get, []

    def late(self, key):  # at the start of the run nothing is there yet
        asked.append(key)
        return None if asked.count(key) == 1 else real(self, key)

    monkeypatch.setattr(RecordStore, "get", late)
    again = run_here(*overrides)
    assert {r["key"]: r["provenance"] for r in again} == {
        k: r["provenance"] for k, r in made.items()
    }


def test_killed_half_way_the_same_command_ends_in_the_same_table(tmp_path):
    settings = [
        "trainer.max_epochs=100",
        "trainer.patience=100",
        "trainer.stop_below=null",
        "model=three_layer",
        "split.fractions=[0.5,1.0]",
    ]
    command = [sys.executable, str(ROOT / "train.py"), *TINY[:3], *TINY[4:], *settings]

    def last_table(directory: Path) -> list[str]:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=300, check=True
        )
        lines = done.stdout.splitlines()
        start = max(i for i, line in enumerate(lines) if line.startswith("dataset simulated_mixed"))
        return lines[start : start + 7]

    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    undisturbed = last_table(tmp_path / "undisturbed")
    killed = tmp_path / "killed"
    for stop in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(
            command,
            cwd=killed,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # a shell that runs the tests in the background makes its children ignore Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        before = len(list(killed.glob("outputs/records/*/*.json")))
        while (
            len(list(killed.glob("outputs/records/*/*.json"))) < before + 2
            and process.poll() is None
        ):
            time.sleep(0.01)
        os.kill(process.pid, stop)
        assert process.wait() != 0
    assert 4 <= len(list(killed.glob("outputs/records/*/*.json"))) < 10
    assert last_table(killed) == undisturbed
    for path in killed.glob("outputs/records/*/*.json"):
        twin = tmp_path / "undisturbed" / path.relative_to(killed)
        a, b = (without_provenance(json.loads(p.read_text())) for p in (path, twin))
        a["config"]["results"] = b["config"]["results"] = None
        assert a == b
        assert path.with_suffix(".npz").read_bytes() == twin.with_suffix(".npz").read_bytes()


def test_the_full_removal_shows_its_artefact(run_here):
    """S1: with every class mean equal over all samples, what is left in training is wrong by
    construction in test."""
    overrides = [
        "dataset=simulated_noise",
        "dataset.n_samples=300",
        "dataset.n_genes=300",
        "model=logistic_regression",
        "logger=none",
    ]
    assert 0.42 <= mean_accuracy(run_here(*overrides)) <= 0.58
    assert mean_accuracy(run_here(*overrides, "signal_removal=class_means_before_split")) < 0.35
