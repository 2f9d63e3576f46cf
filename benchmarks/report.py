"""How long a report of many fits takes, on records that are made up: a made-up sweep in the true
format.

python benchmarks/report.py [--fits 10000]
"""

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from beyondlinear.evaluation.audit.row_usage import SampleManifest, manifest_path
from beyondlinear.records.record import FORMAT
from beyondlinear.records.store import RecordStore
from beyondlinear.report.write import write_report
from beyondlinear.runtime.files import write_json

FOLDS, CLASSES = 5, ("class_0", "class_1")


def make(
    folder: Path,
    *,
    datasets: tuple[str, ...] = ("made_up",),
    models: tuple[str, ...] = ("ridge_logistic", "three_layer"),
    removals: tuple[str, ...] = ("none", "class_means"),
    seeds: int = 1,
    fractions: tuple[float, ...] = (0.5, 1.0),
    gain: float = 0.0,
    classes: tuple[str, ...] = CLASSES,
    n_samples: int = 200,
    folds: int = FOLDS,
    controls: int = 0,
    task: str = "label",
    accuracy: float = 0.8,
) -> Path:
    """A sweep directory with its store. Ridge is right in `accuracy` of the held-out samples, other
    models in `gain` more; after removal ridge is at chance. Two samples are a group. controls:
    draws of linear labels, all models as good.
    """
    store = RecordStore(folder / "records")
    rng = np.random.default_rng(0)
    ids = np.array([f"s{i}" for i in range(n_samples)])
    codes, groups = np.arange(n_samples) // 2 % len(classes), np.arange(n_samples) // 2
    none = np.full(n_samples, -1)
    for d, dataset in enumerate(datasets):
        SampleManifest(ids, groups, codes, list(classes), none, none).write(
            manifest_path(store.root, f"print{d}{task}")
        )
        for model in models:
            for removal in removals:
                for draw in range(-1, controls):
                    for seed in range(seeds):
                        spec = dataset, f"print{d}{task}", model, removal, draw, seed
                        levels = accuracy, gain
                        _run(
                            folder,
                            store,
                            rng,
                            spec,
                            task,
                            codes,
                            groups,
                            ids,
                            fractions,
                            levels,
                            classes,
                            folds,
                        )
    return folder


def _run(
    folder: Path,
    store: RecordStore,
    rng: np.random.Generator,
    spec: tuple[str, str, str, str, int, int],
    task: str,
    codes: np.ndarray,
    groups: np.ndarray,
    ids: np.ndarray,
    fractions: tuple[float, ...],
    levels: tuple[float, float],
    classes: tuple[str, ...],
    folds: int,
) -> None:
    dataset, fingerprint, model, removal, draw, seed = spec
    control = "none" if draw < 0 else "linear_labels"
    names = {
        "dataset": dataset,
        "task": task,
        "model": model,
        "signal_removal": removal,
        "control": control,
        "split": "group",
        "protocol": "sound",
        "tuning": "none",
    }
    of_dataset = {"name": dataset}
    if dataset == "file":
        of_dataset["expression"] = "data/mine.csv.gz"
    config = {
        "seed": seed,
        "dataset": of_dataset,
        "split": {"name": "group", "group": "donor", "validation_share": 0.2},
        "control": {"name": control, "draw": draw, "direction": "fitted"},
        "model": {"name": model},
        "protocol": {"name": "sound", "fit_on": "train"},
        "scale": "standardise",
    }
    n, k = len(codes), len(classes)
    data = {
        "fingerprint": fingerprint,
        "n_samples": n,
        "n_groups": int(groups.max()) + 1,
        "n_genes": 50,
    }
    data |= {"classes": list(classes), "dropped": {}, "confounding": None}
    data |= {"bayes_accuracy": 0.8, "control": {"agreement": 0.8}} if draw >= 0 else {}
    accuracy = levels[0] + (levels[1] if model != "ridge_logistic" and draw < 0 else 0.0)
    if removal != "none" and model == "ridge_logistic":
        accuracy = 1 / k
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    listed = []
    for fold in range(folds):
        held = np.flatnonzero(np.isin(groups, order[fold :: max(folds, 2)]))
        for fraction in fractions:
            key = hashlib.sha256(f"{spec}{fold}{fraction}".encode()).hexdigest()[:32]
            right = rng.random(len(held)) < accuracy
            predicted = np.where(right, codes[held], (codes[held] + 1) % k)
            scores = np.eye(k)[predicted] * 2.0
            p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
            confusion = np.zeros((k, k), dtype=int)
            np.add.at(confusion, (codes[held], predicted), 1)
            recall = float(
                np.mean([right[codes[held] == c].mean() for c in np.unique(codes[held])])
            )
            n_outer_train = int(fraction * (n - len(held)))
            history = [
                {"epoch": e, "validation_loss": 0.7 / (e + 1), "train_loss": 0.6 / (e + 1)}
                for e in range(10)
            ]
            linear = model.startswith(("ridge", "logistic", "linear"))
            kind = {
                "linear": linear,
                "certified": model.startswith("ridge"),
                "probabilities": "svm" not in model,
                "coefficients": linear,
            }
            record = {
                "format": FORMAT,
                "key": key,
                "names": names,
                "seed": seed,
                "fold": fold,
                "held_out": "",
                "fraction": fraction,
                "pretrained": None,
                "data": data,
                "config": config,
                "status": "done",
                "model": kind,
                "audit": [],
                "confusion": confusion.tolist(),
                "counts": {
                    "n_outer_train": n_outer_train,
                    "n_train": n_outer_train,
                    "n_validation": 0,
                    "n_test": len(held),
                    "n_classes": k,
                },
                "metrics": {
                    "balanced_accuracy": recall,
                    "accuracy": float(right.mean()),
                    "log_loss": 0.4,
                },
                "training": {"epochs": 10, "history": history if "layer" in model else []},
                "provenance": {
                    "seconds": 1.0,
                    "threads": 1,
                    "versions": {"beyondlinear": "0.1.0"},
                    "commit": "abc",
                },
            }
            arrays = {
                "sample_id": ids[held],
                "code": codes[held],
                "classes": np.array(classes),
                "scores": scores,
                "probabilities": p,
            }
            store.put(record, arrays)
            listed.append({"key": key, "fold": fold, "fraction": fraction, "pretrained": None})
    run = {"store": str(store.root), "names": names, "seed": seed, "config": config, "fits": listed}
    write_json(folder / f"fits_{'_'.join(map(str, spec[1:]))}.json", run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fits", type=int, default=10000)
    arguments = parser.parse_args()
    fractions = tuple(round(0.1 * i, 1) for i in range(1, 11))
    seeds = max(1, arguments.fits // (3 * 4 * 2 * FOLDS * 10))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "sweep"
        models = ("ridge_logistic", "linear_svm", "three_layer", "five_layer")
        datasets = ("first", "second", "third")
        make(folder, datasets=datasets, models=models, seeds=seeds, fractions=fractions)
        n = sum(1 for _ in (folder / "records").glob("??/*.json"))
        started = time.monotonic()
        write_report([str(folder)], Path(temporary) / "report")
        seconds = time.monotonic() - started
        size = (Path(temporary) / "report" / "index.html").stat().st_size / 1e6
    table = Table()
    for column in ("fits", "seconds", "fits a second", "page, MB"):
        table.add_column(column, justify="right")
    table.add_row(f"{n:,}", f"{seconds:.1f}", f"{n / seconds:,.0f}", f"{size:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
