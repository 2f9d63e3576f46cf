"""The tables of a report: cells with intervals, comparisons with the certified linear model, what is not there."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from beyondlinear.controls import NO_CONTRAST
from beyondlinear.errors import ResultsError
from beyondlinear.excess import excess
from beyondlinear.ledger import Sheet, read_sheet, sheet_path
from beyondlinear.report.reading import Problem, Reading
from beyondlinear.report.statistics import Calibration, bootstrap, calibration, compare, holm

CELL = ["panel", "learner", "signal_removal", "control", "direction", "fraction"]
LINEAR = ("logistic_regression", "linear_svm", "ridge_logistic", "ridge_svm")
# what other models are compared with: a linear model at a certified optimum, the logistic one first
CERTIFIED = ("ridge_logistic", "ridge_svm")
OPTIMUM = "optimum of logistic_regression"
MOST_FILES = 4000  # of predictions that one report reads


def cells(reading: Reading) -> tuple[pd.DataFrame, dict[str, Calibration]]:
    """One row a cell: its fits, the mean and spread of their balanced accuracy, the interval of the model (cluster bootstrap
    over the groups of its stored predictions) and its calibration at the largest fraction; and the reliability of each."""
    fits = reading.fits.assign(direction=reading.fits.direction.fillna(""))
    fits.loc[fits.control == "none", "direction"] = ""
    if fits.empty:
        return pd.DataFrame(columns=["id", *CELL]), {}
    rows, curves = [], {}
    largest = fits.groupby("panel").fraction.transform("max")
    read = Predictions(reading)
    for number, (cell, group) in enumerate(fits.groupby(CELL, dropna=False, sort=True), 1):
        done = group[group.status == "done"]
        row: dict[str, Any] = {"id": f"m{number}"} | dict(zip(CELL, cell, strict=True))
        row |= {"fits": len(group), "done": len(done), "folds": done.fold.nunique(), "seeds": done.seed.nunique()}
        row |= {"n_train": done.n_train.mean(), "n_validation": done.n_validation.mean()}
        row |= {"balanced_accuracy": done.balanced_accuracy.mean(), "sd": done.balanced_accuracy.std()}
        row |= {"low": np.nan, "high": np.nan, "n_groups": np.nan, "ece": np.nan}
        row |= {c: done[c].mean() for c in ("auroc", "log_loss", "optimum_gap", "norm_auc", "forest")}
        row |= {"naive": 1 / group.n_classes.max(), "bayes": done.bayes_accuracy.mean(), "seconds": done.seconds.sum()}
        if len(done) and group.fraction.iloc[0] == largest[group.index[0]] and row["control"] == "none":
            more, curve = read.judge(list(done.key))
            row |= more
            if curve is not None:
                curves[row["id"]] = curve
        rows.append(row)
    read.complain()
    return pd.DataFrame(rows), curves


class Predictions:
    """The stored predictions of cells, with the groups of their samples."""

    def __init__(self, reading: Reading) -> None:
        self.reading, self.files = reading, 0
        self.unreadable: list[str] = []
        self._sheets: dict[Path, tuple[Sheet, dict[str, int]] | None] = {}

    def judge(self, keys: list[str]) -> tuple[dict[str, Any], Calibration | None]:
        """Interval and calibration of a model from the fits of its folds and seeds; a sample counts once, by the share of seeds
        in which it is predicted correctly."""
        right: dict[int, list[bool]] = {}
        codes: dict[int, int] = {}
        probabilities, truth = [], []
        sheet = None
        for key in keys:
            if self.files >= MOST_FILES:
                return {}, None
            arrays, record = self._load(key), self.reading.records[key]
            sheet = self._sheet(self.reading.stores[key].root, str(record["data"]["fingerprint"]))
            if arrays is None or sheet is None:
                continue
            hits = arrays["scores"].argmax(1) == arrays["code"]
            for sample, code, hit in zip(
                arrays["sample_id"].tolist(), arrays["code"].tolist(), hits.tolist(), strict=True
            ):
                row = sheet[1].get(sample)
                if row is not None:
                    right.setdefault(row, []).append(hit)
                    codes[row] = code
            if "probabilities" in arrays:
                probabilities.append(arrays["probabilities"])
                truth.append(arrays["code"])
        found: dict[str, Any] = {}
        curve = calibration(np.concatenate(probabilities), np.concatenate(truth)) if probabilities else None
        if curve is not None:
            found["ece"] = curve.ece
        if right and sheet is not None:
            rows = np.array(list(right))
            shares = np.array([np.mean(right[r]) for r in rows])
            n_classes = int(self.reading.records[keys[0]]["counts"]["n_classes"])
            interval = bootstrap(shares, np.array([codes[r] for r in rows]), sheet[0].groups[rows], n_classes)
            found |= {"low": interval.low, "high": interval.high, "n_groups": interval.n_groups}
        return found, curve

    def _load(self, key: str) -> dict[str, np.ndarray] | None:
        self.files += 1
        try:
            held = self.reading.stores[key].predictions(key)
            return {k: held[k] for k in ("sample_id", "code", "scores", "probabilities") if k in held} if held else None
        except (KeyError, ResultsError) as e:
            self.unreadable.append(str(e))
            return None

    def _sheet(self, root: Path, fingerprint: str) -> tuple[Sheet, dict[str, int]] | None:
        path = sheet_path(root, fingerprint)
        if path not in self._sheets:
            try:
                sheet = read_sheet(path)
                self._sheets[path] = sheet, {str(s): i for i, s in enumerate(sheet.sample_ids)}
            except ResultsError:
                self._sheets[path] = None
        return self._sheets[path]

    def complain(self) -> None:
        problems = self.reading.problems
        if self.unreadable:
            text = (
                f"predictions that cannot be read are left out of intervals and calibration, e.g. {self.unreadable[0]}"
            )
            problems.append(Problem("unreadable", text, len(self.unreadable)))
        lost = [str(p) for p, s in self._sheets.items() if s is None]
        if lost:
            text = f"no sheet of samples says which group a sample is of ({lost[0]}): no interval for the models on these data"
            problems.append(Problem("limit", text))
        if self.files >= MOST_FILES:
            problems.append(Problem("limit", f"intervals and calibration stop at {MOST_FILES:,} files of predictions"))


def comparisons(reading: Reading) -> pd.DataFrame:
    """Every other model against the certified linear one, with the signal present, on the same folds and seeds, at the largest
    fraction of each panel; p-values adjusted by Holm over all rows that compare a non-linear model."""
    done = reading.done
    done = done[(done.signal_removal == "none") & (done.control == "none")]
    rows: list[dict[str, Any]] = []
    for panel, fits in done.groupby("panel", sort=True):
        fits = fits[fits.fraction == fits.fraction.max()]
        reference, name = certified(fits)
        if reference is None:
            continue
        for learner, model in fits[fits.learner != name].groupby("learner", sort=True):
            both = model.merge(reference, on=["seed", "fold"], suffixes=("", "_reference"))
            if both.empty:
                continue
            d = (both.balanced_accuracy - both.value).to_numpy()
            found = compare(d, both.n_train.mean(), both.n_validation.mean())
            rows.append(
                {"id": "", "panel": panel, "learner": learner, "model": model.model.iloc[0], "reference": name}
                | {"fraction": fits.fraction.max(), "folds": both.fold.nunique(), "seeds": both.seed.nunique()}
                | {"balanced_accuracy": both.balanced_accuracy.mean(), "of_reference": both.value.mean()}
                | {"difference": found.mean, "low": found.low, "high": found.high, "p_value": found.p_value}
                | {"p_holm": np.nan, "worse": found.below, "equivalent": found.rope, "better": found.above}
            )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table["id"] = [f"c{i}" for i in range(1, len(table) + 1)]
    tested = ~table.model.isin(LINEAR)
    table.loc[tested, "p_holm"] = holm(table.p_value[tested])
    return table


def certified(fits: pd.DataFrame) -> tuple[pd.DataFrame | None, str]:
    """Balanced accuracy of the certified linear model by seed and fold, None where there is none, and its learner.

    :param fits: rows of `Reading.done` of one panel, at one fraction, with the signal present and the real labels
    """
    for model in CERTIFIED:
        mine = fits[fits.model == model]
        if len(mine):
            name = mine.learner.mode()[0]
            mine = mine[mine.learner == name]
            return mine[["seed", "fold"]].assign(value=mine.balanced_accuracy), name
    best = fits[(fits.model == "logistic_regression") & fits.optimum_balanced_accuracy.notna()]
    if best.empty:
        return None, ""
    best = best[best.learner == best.learner.mode()[0]]
    return best[["seed", "fold"]].assign(value=best.optimum_balanced_accuracy), OPTIMUM


def excesses(reading: Reading) -> pd.DataFrame:
    """What each model reaches beyond linear labels (`excess.excess`), by panel; p_t: one-sided, of one more draw by Student's
    t; p_holm: over the rows that could show non-linear signal, those of non-linear models after removal with contrast."""
    found = []
    for panel, fits in reading.fits.groupby("panel", sort=True):
        try:
            found.append(excess(fits).assign(panel=panel))
        except ResultsError:  # no cell has both real and linear labels
            continue
    if not found:
        return pd.DataFrame()
    table = pd.concat(found, ignore_index=True)
    table = table[table.fraction == table.groupby("panel").fraction.transform("max")].reset_index(drop=True)
    width = table.control_sd * np.sqrt(1 + 1 / table.draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        table["p_t"] = t.sf(table.excess / width, table.draws - 1)
    table.loc[table.draws < 2, "p_t"] = np.nan
    table["contrast"] = table.agreement < NO_CONTRAST
    shows = (
        ~table.model.isin(LINEAR) & (table.signal_removal != "none") & (table.direction != "random") & table.contrast
    )
    table["p_holm"] = np.nan
    table.loc[shows, "p_holm"] = holm(table.p_t[shows])
    table["id"] = [f"e{i}" for i in range(1, len(table) + 1)]
    columns = [
        "id",
        "panel",
        "model",
        "signal_removal",
        "direction",
        "fraction",
        "real",
        "control",
        "control_sd",
        "draws",
    ]
    return table[[*columns, "bayes", "agreement", "contrast", "excess", "low", "high", "p", "p_t", "p_holm"]]


def residual_tests(reading: Reading) -> pd.DataFrame:
    """Residual-prediction tests, one row a statistic."""
    panels = {r.get("data", {}).get("fingerprint"): k for k, r in reading.records.items() if r.get("data")}
    by_key = dict(zip(reading.fits.key, reading.fits.panel, strict=True)) if len(reading.fits) else {}
    rows: list[dict[str, Any]] = []
    for test in reading.tests:
        v, fingerprint = test["verdict"], test["data"].get("fingerprint")
        panel = by_key.get(panels.get(fingerprint, ""), f"{test['names']['dataset']}, {test['names']['task']}")
        shared = {
            "panel": panel,
            "control": test["names"].get("control"),
            "seed": test.get("seed"),
            "verdict": v["verdict"],
        }
        shared |= {
            "linear_log_loss": v["linear_log_loss"],
            "constant_log_loss": v["constant_log_loss"],
            "draws": v["draws"],
        }
        for name, s in (v.get("statistics") or {"none": {}}).items():
            more = {k: s.get(k, np.nan) for k in ("observed", "null_mean", "null_sd", "p_value")}
            rows.append({"id": f"t{len(rows) + 1}"} | shared | {"statistic": name} | more)
    return pd.DataFrame(rows)
