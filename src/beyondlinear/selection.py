"""Nested choice of hyperparameters for one fit: inner folds of its training samples, everything refitted in each."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from beyondlinear.ahead import Ahead
from beyondlinear.classifier import NetworkModel
from beyondlinear.datamodule import Part
from beyondlinear.errors import RemovalError, SplitError, TuningError
from beyondlinear.linear.ridge import RidgeModel
from beyondlinear.parts import Bench, Prepared, prepare, removal_for_tuning, shared_inner_products
from beyondlinear.results import fit_key
from beyondlinear.seeds import stream_seed
from beyondlinear.splits import Fold, Parts
from beyondlinear.training import FitData
from beyondlinear.tuning import RULE, StudyFile, check_space, choose, known_points, search

log = logging.getLogger(__name__)

_KEPT_BYTES = 2**31  # inner folds prepared once for all trials, if they take no more than this; else anew for each

PENALTY_RULE = (
    "Chosen is the penalty with the smallest mean over the inner folds of the weighted inner-validation loss, the larger one "
    "of equals; each inner fold solves one path, which ends where its loss has long been above its best."
)


def choose_hyperparameters(
    bench: Bench, fold: Fold, fraction: float, said: Callable[[str], None]
) -> tuple[Any, dict[str, Any], np.ndarray]:
    """The model with its chosen hyperparameters, what the record says of the choice, and the rows that it saw.

    Selection, scaling and signal removal are refitted inside each inner fold, after it is split. An inner fold that is not
    possible is left out and named.
    :raises SplitError: no inner fold is possible
    :raises TuningError: no trial has a finite loss
    """
    model, nothing = bench.model, np.empty(0, dtype=np.int64)
    if bench.tuning.method == "none":
        return model, {"method": "none"}, nothing
    space = check_space(model.search or {}) if isinstance(model, NetworkModel) else {}
    if not space and not (isinstance(model, RidgeModel) and not model.is_chosen):
        return model, {"method": "none", "note": f"{bench.config['model']['name']} has nothing to tune"}, nothing
    started = time.monotonic()
    once = bench.cfg.protocol.tuning_once
    fraction = 1.0 if once else fraction
    removal_name = removal_for_tuning(bench)[1]
    seed = bench.cfg.seed
    rows = bench.splitter.kept(bench.samples, fold, fraction, seed)
    keys = (fold.number, float(fraction))
    inner = bench.splitter.inner_folds(bench.samples, rows, bench.tuning.inner_folds, seed, *keys)
    key = _study_key(bench, fold, fraction, removal_name)
    study = StudyFile(bench.store.study_path(key))
    record = {
        "method": bench.tuning.method,
        "signal_removal": removal_name,
        "fraction": fraction,
        "study": key,
        "defaults": model.hyperparameters() if isinstance(model, NetworkModel) else {},
    }
    folds = _InnerFolds(bench, inner, keys)
    if isinstance(model, RidgeModel):
        chosen, more = _choose_penalty(model, folds)
        tuned: Any = model.at(chosen["relative_penalty"])
    else:
        folds.leave_out_impossible()

        def trial_seed(name: str, number: int) -> int:
            return stream_seed(seed, name, *keys, number)

        known = known_points(bench.tuning, space, model.hyperparameters(), trial_seed)
        ahead = Ahead(
            model, bench.training, folds.data, len(folds), known, bench.tuning.prune, folds.keep, *bench.width
        )
        trials = search(
            *(bench.tuning, space, model.hyperparameters(), ahead.loss, len(folds), trial_seed, study),
            said=said,
        )
        best = choose(trials)
        chosen, tuned = best.parameters, model.with_hyperparameters(**best.parameters)
        more = {
            "rule": RULE,
            "search": space,
            "inner_loss": best.value,
            "trials": [t.__dict__ | {"value": t.value} for t in trials],
        }
    seconds = round(time.monotonic() - started, 3)
    return (
        tuned,
        record | {"chosen": chosen, "inner_folds": len(folds), "left_out": folds.left_out, "seconds": seconds} | more,
        np.flatnonzero(folds.saw),
    )


def _study_key(bench: Bench, fold: Fold, fraction: float, removal_name: str) -> str:
    """The fit's key; where the protocol tunes once, that of all fits that the study serves, whatever their removal."""
    once = {"signal_removal": {"name": removal_name}} if bench.cfg.protocol.tuning_once else {}
    return fit_key(bench.config | once, bench.fingerprint, fold, fraction)


class _InnerFolds:
    """Inner folds and their data, each prepared once if memory allows."""

    def __init__(self, bench: Bench, folds: list[Fold], keys: tuple[int | float, ...]) -> None:
        self.bench, self.folds, self.keys = bench, folds, keys
        self.removal = removal_for_tuning(bench)[0]
        self.left_out: list[str] = []
        self.saw = np.zeros(len(bench.samples.codes), dtype=bool)
        self.kept: dict[int, tuple[FitData, np.ndarray]] = {}
        n_rows = sum(len(f.train) + len(f.validation) for f in folds)
        self.keep = 4 * n_rows * bench.width[0] <= _KEPT_BYTES

    def __len__(self) -> int:
        return len(self.folds)

    def data(self, j: int, with_tune: bool = True) -> tuple[FitData, np.ndarray]:
        """What a model is given in inner fold j, and the codes of its validation part.

        :param with_tune: split the inner training part into fit and tune, for models that stop by a tune part
        :raises SplitError, RemovalError: this inner fold is not possible
        """
        if j in self.kept:
            return self.kept[j]
        bench, fold, seed = self.bench, self.folds[j], self.bench.cfg.seed
        keys = (*self.keys, "inner", fold.number)
        fit, tune = (
            bench.splitter.fit_and_tune(bench.samples, fold.train, seed, *keys)
            if with_tune
            else (self._all_classes(fold), fold.train[:0])
        )
        rows = Parts(fit, tune, fold.validation)
        n_classes = len(bench.samples.classes)
        for seen in (fit, tune, fold.validation):
            self.saw[seen] = True
        gram = None if with_tune else shared_inner_products(bench, rows, fold.train, self.removal)
        if gram is not None:
            x = np.empty((0, 0), dtype=np.float32)
            data = FitData(
                Part(x, bench.samples.codes[fit], fit),
                None,
                x,
                n_classes,
                lambda use: stream_seed(seed, use, *keys),
                gram,
            )
            codes = bench.samples.codes[fold.validation]
        else:
            prepared: Prepared = prepare(bench, rows, fold.train, self.removal)
            data = prepared.data(n_classes, lambda use: stream_seed(seed, use, *keys))
            codes = prepared.parts["validation"].codes
        found = data, codes
        if self.keep and with_tune:
            self.kept[j] = found
        return found

    def _all_classes(self, fold: Fold) -> np.ndarray:
        here = np.bincount(self.bench.samples.codes[fold.train], minlength=len(self.bench.samples.classes))
        if not here.all():
            name = self.bench.samples.classes[int(np.argmin(here))]
            raise SplitError(f"class '{name}' is missing from the training part of inner fold {fold.number}")
        return fold.train

    def leave_out_impossible(self, with_tune: bool = True) -> None:
        """Keep the inner folds that are possible; name the others.

        :raises SplitError: none is possible
        """
        possible = []
        for j, fold in enumerate(self.folds):
            try:
                self.data(j, with_tune)
                possible.append(j)
            except (SplitError, RemovalError) as e:
                self.left_out.append(f"inner fold {fold.number}: {e}")
        self.kept = {i: self.kept[j] for i, j in enumerate(possible) if j in self.kept}
        self.folds = [self.folds[j] for j in possible]
        self.refuse_none()

    def refuse_none(self) -> None:
        if not self.folds:
            raise SplitError(f"no inner fold is possible for tuning. {self.left_out[0]}")


def _choose_penalty(model: RidgeModel, folds: _InnerFolds) -> tuple[dict[str, float], dict[str, Any]]:
    """One path per inner fold; the penalty with the smallest mean loss among those that every fold reached."""
    paths, possible = [], []
    for j, fold in enumerate(folds.folds):
        try:
            data, codes = folds.data(j, with_tune=False)
        except (SplitError, RemovalError) as e:
            folds.left_out.append(f"inner fold {fold.number}: {e}")
            continue
        paths.append(model.path_losses(data, "validation", codes))
        possible.append(fold)
    folds.folds = possible
    folds.refuse_none()
    trials: list[dict[str, Any]] = []
    for i, relative in enumerate(model.grid().tolist()):
        steps = [path[i] for path in paths if i < len(path)]
        losses = [s["loss"] for s in steps]
        certified = all(s["relative_gradient"] <= model.tolerance for s in steps)
        state = "pruned" if len(steps) < len(paths) else "complete" if certified else "failed"
        reason = {"pruned": "the loss had risen before", "failed": "not solved to model.tolerance", "complete": ""}[
            state
        ]
        value = float(np.mean(losses)) if state == "complete" else None
        trials.append(
            {"number": i, "parameters": {"relative_penalty": relative}, "losses": losses}
            | {"state": state, "reason": reason, "value": value}
        )
    complete = [t for t in trials if t["value"] is not None]
    if not complete:
        raise TuningError(
            "no penalty of model's grid was solved to model.tolerance on every inner fold; standardise the genes"
        )
    best = min(complete, key=lambda t: t["value"])
    at_edge = best["number"] in (0, len(trials) - 1)
    return best["parameters"], {
        "rule": PENALTY_RULE,
        "inner_loss": best["value"],
        "trials": trials,
        "at_edge_of_grid": at_edge,
    }
