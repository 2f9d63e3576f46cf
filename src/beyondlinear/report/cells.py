"""The table of cells: what the fits of a model reach, with the interval and the calibration of
their stored predictions."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from beyondlinear.evaluation.audit.row_usage import SampleManifest, manifest_path, read_manifest
from beyondlinear.report.reading import GatheredFits, ReadingProblem
from beyondlinear.report.statistics import Calibration, bootstrap, calibration
from beyondlinear.runtime.errors import ResultsError

CELL = ["panel", "learner", "signal_removal", "control", "direction", "fraction"]
MOST_FILES = 4000  # of predictions that one report reads
_KEPT_ARRAYS = ("sample_id", "code", "scores", "probabilities")

_Manifest: TypeAlias = tuple[SampleManifest, dict[str, int]]  # and the row of each sample id


def cells(gathered: GatheredFits) -> tuple[pd.DataFrame, dict[str, Calibration]]:
    """One row a cell: its fits, the mean and spread of their balanced accuracy, the interval of the
    model (cluster bootstrap over the groups of its stored predictions) and its calibration at the
    largest fraction; and the reliability of each, by the id of its row.
    """
    fits = gathered.fits.assign(direction=gathered.fits.direction.fillna(""))
    fits.loc[fits.control == "none", "direction"] = ""
    if fits.empty:
        return pd.DataFrame(columns=["id", *CELL]), {}
    largest = fits.groupby("panel").fraction.max()
    stored = StoredPredictions(gathered)
    rows, curves = [], {}
    for number, (names, group) in enumerate(fits.groupby(CELL, dropna=False, sort=True), 1):
        row = _means(group)
        cell = dict(zip(CELL, names, strict=True))
        row_id = f"m{number}"
        if row["done"] and cell["control"] == "none" and cell["fraction"] == largest[cell["panel"]]:
            more, curve = stored.interval_and_calibration(list(group.key[group.status == "done"]))
            row |= more
            if curve is not None:
                curves[row_id] = curve
        rows.append({"id": row_id, **cell, **row})
    gathered.problems += stored.problems()
    return pd.DataFrame(rows), curves


def _means(group: pd.DataFrame) -> dict[str, object]:
    """What the fits of a cell reach on average; their interval is filled in where it is known."""
    done = group[group.status == "done"]
    return {
        "linear": bool(group.linear.any()),
        "fits": len(group),
        "done": len(done),
        "folds": done.fold.nunique(),
        "seeds": done.seed.nunique(),
        "n_outer_train": done.n_outer_train.mean(),
        "n_test": done.n_test.mean(),
        "balanced_accuracy": done.balanced_accuracy.mean(),
        "sd": done.balanced_accuracy.std(),
        "low": np.nan,
        "high": np.nan,
        "n_groups": np.nan,
        "ece": np.nan,
        "auroc": done.auroc.mean(),
        "log_loss": done.log_loss.mean(),
        "optimum_gap": done.optimum_gap.mean(),
        "norm_auc": done.norm_auc.mean(),
        "forest": done.forest.mean(),
        "naive": 1 / group.n_classes.max(),
        "bayes": done.bayes_accuracy.mean(),
        "seconds": done.seconds.sum(),
    }


class StoredPredictions:
    """The stored predictions of cells, with the groups of their samples."""

    def __init__(self, gathered: GatheredFits) -> None:
        self._gathered = gathered
        self._n_files = 0
        self._unreadable: list[str] = []
        self._manifests: dict[Path, _Manifest | None] = {}

    def interval_and_calibration(
        self, keys: list[str]
    ) -> tuple[dict[str, float], Calibration | None]:
        """Interval and calibration of a model from the fits of its folds and seeds; a sample counts
        once, by the share of seeds in which it is predicted correctly.

        :returns: low, high, n_groups and ece as far as they are known, and the reliability curve;
            nothing where the report has read MOST_FILES files
        """
        is_right: dict[int, list[bool]] = {}  # row of the manifest → of each seed
        codes: dict[int, int] = {}  # row → true class
        probabilities, true_codes = [], []
        manifest = None
        for key in keys:
            if self._n_files >= MOST_FILES:
                return {}, None
            record = self._gathered.records[key]
            arrays = self._load(key)
            root = self._gathered.stores[key].root
            manifest = self._manifest(root, str(record["data"]["fingerprint"]))
            if arrays is None or manifest is None:
                continue
            _, row_of_sample = manifest
            predicted = arrays["scores"].argmax(1)
            for sample, code, hit in zip(
                arrays["sample_id"].tolist(),
                arrays["code"].tolist(),
                (predicted == arrays["code"]).tolist(),
                strict=True,
            ):
                row = row_of_sample.get(sample)
                if row is not None:
                    is_right.setdefault(row, []).append(hit)
                    codes[row] = code
            if "probabilities" in arrays:
                probabilities.append(arrays["probabilities"])
                true_codes.append(arrays["code"])

        found: dict[str, float] = {}
        curve = None
        if probabilities:
            curve = calibration(np.concatenate(probabilities), np.concatenate(true_codes))
            found["ece"] = curve.ece
        if is_right and manifest is not None:
            rows = np.array(list(is_right))
            interval = bootstrap(
                right=np.array([np.mean(is_right[row]) for row in rows]),
                codes=np.array([codes[row] for row in rows]),
                groups=manifest[0].groups[rows],
                n_classes=int(self._gathered.records[keys[0]]["counts"]["n_classes"]),
            )
            found["low"] = interval.low
            found["high"] = interval.high
            found["n_groups"] = interval.n_groups
        return found, curve

    def _load(self, key: str) -> dict[str, np.ndarray] | None:
        self._n_files += 1
        try:
            arrays = self._gathered.stores[key].predictions(key)
        except (KeyError, ResultsError) as e:
            self._unreadable.append(str(e))
            return None
        if not arrays:
            return None
        return {name: arrays[name] for name in _KEPT_ARRAYS if name in arrays}

    def _manifest(self, root: Path, fingerprint: str) -> _Manifest | None:
        path = manifest_path(root, fingerprint)
        if path not in self._manifests:
            self._manifests[path] = _read_manifest(path)
        return self._manifests[path]

    def problems(self) -> list[ReadingProblem]:
        """What could not be read of all that was asked for."""
        found = []
        if self._unreadable:
            text = (
                "predictions that cannot be read are left out of intervals and calibration, e.g."
                f" {self._unreadable[0]}"
            )
            found.append(ReadingProblem("unreadable", text, len(self._unreadable)))
        lost = [str(path) for path, manifest in self._manifests.items() if manifest is None]
        if lost:
            text = (
                f"no manifest of samples says which group a sample is of ({lost[0]}): no interval"
                " for the models on these data"
            )
            found.append(ReadingProblem("limit", text))
        if self._n_files >= MOST_FILES:
            text = f"intervals and calibration stop at {MOST_FILES:,} files of predictions"
            found.append(ReadingProblem("limit", text))
        return found


def _read_manifest(path: Path) -> _Manifest | None:
    try:
        manifest = read_manifest(path)
    except ResultsError:
        return None
    return manifest, {str(sample): row for row, sample in enumerate(manifest.sample_ids)}
