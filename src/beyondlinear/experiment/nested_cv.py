"""Nested choice of hyperparameters for one fit: inner folds of its training samples, with gene
selection, scaling and signal removal refitted in each."""

import logging
import time
from dataclasses import asdict, dataclass, field

import numpy as np

from beyondlinear.experiment.context import RunContext
from beyondlinear.experiment.hyperparameter_search import (
    RULE,
    Study,
    StudyFile,
    check_space,
    choose,
)
from beyondlinear.experiment.prepare import prepare, removal_for_tuning, shared_inner_products
from beyondlinear.models.interface import FitData, FitSeeds, Model, Part
from beyondlinear.models.linear.ridge_model import RidgeModel
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.records.keys import fit_key
from beyondlinear.records.record import TrialRecord, TuningRecord
from beyondlinear.removal.modes import Removal
from beyondlinear.runtime.errors import RemovalError, SplitError, TuningError
from beyondlinear.runtime.progress import FitProgress
from beyondlinear.runtime.seeds import stream_seed
from beyondlinear.tasks.splits import Fold, Parts

log = logging.getLogger(__name__)

# inner folds are prepared once for all trials if they take no more bytes; else anew for each
PREPARED_BYTES = 2**31

PENALTY_RULE = (
    "Chosen is the penalty with the smallest mean over the inner folds of the weighted"
    " inner-validation loss, the larger one of equals; each inner fold solves one path, which ends"
    " where its loss has long been above its best."
)


@dataclass(frozen=True)
class Tuned:
    """A model with its chosen hyperparameters, how they were chosen, and the rows that the choice
    saw."""

    model: Model
    record: TuningRecord
    rows_used: np.ndarray | None = None


@dataclass
class InnerFolds:
    """The inner folds of one fit, what a model is given in each, and what was not possible.

    keys: what tells their random streams from those of other fits; rows_used: (n_samples,) bool.
    """

    context: RunContext
    folds: list[Fold]
    keys: tuple[int | float | str, ...]
    removal: Removal
    rows_used: np.ndarray
    left_out: list[str] = field(default_factory=list)
    prepared: dict[int, tuple[FitData, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.folds)

    def refuse_none(self) -> None:
        """:raises SplitError: no inner fold is possible"""
        if not self.folds:
            raise SplitError(f"no inner fold is possible for tuning. {self.left_out[0]}")


def choose_hyperparameters(
    context: RunContext, fold: Fold, fraction: float, progress: FitProgress | None
) -> Tuned:
    """Choose a model's hyperparameters by its losses on inner folds (tuning is not "none").

    An inner fold that is not possible is left out and named.
    :raises SplitError: no inner fold is possible
    :raises TuningError: no trial has a finite loss
    """
    model = context.model
    if model.tuned_by is None:
        note = f"{context.names['model']} has nothing to tune"
        return Tuned(model, {"method": "none", "note": note})

    started = time.monotonic()
    if context.tunes_once:
        fraction = 1.0
    inner = _inner_folds(context, fold, fraction)
    study_key = _study_key(context, fold, fraction)
    if model.tuned_by == "path":
        assert isinstance(model, RidgeModel)
        tuned = _tuned_by_path(model, inner)
    else:
        assert isinstance(model, NetworkModel)
        tuned = _tuned_by_search(model, inner, study_key, progress)
    record: TuningRecord = {
        "method": context.tuning.method,
        "signal_removal": removal_for_tuning(context)[1],
        "fraction": fraction,
        "study": study_key,
        "defaults": model.hyperparameters() if isinstance(model, NetworkModel) else {},
        "inner_folds": len(inner),
        "left_out": inner.left_out,
        "seconds": round(time.monotonic() - started, 3),
    }
    record.update(tuned.record)
    return Tuned(tuned.model, record, np.flatnonzero(inner.rows_used))


def _inner_folds(context: RunContext, fold: Fold, fraction: float) -> InnerFolds:
    keys = (fold.number, float(fraction))
    rows = context.splitter.rows_of_fraction(context.samples, fold, fraction, context.seed)
    folds = context.splitter.inner_folds(
        context.samples, rows, context.tuning.inner_folds, context.seed, *keys
    )
    unused = np.zeros(len(context.samples.codes), dtype=bool)
    return InnerFolds(context, folds, keys, removal_for_tuning(context)[0], unused)


def _study_key(context: RunContext, fold: Fold, fraction: float) -> str:
    """The key of the fit; where the protocol tunes once, that of all fits that the study serves,
    whatever their removal."""
    config = dict(context.config)
    if context.tunes_once:
        config["signal_removal"] = {"name": removal_for_tuning(context)[1]}
    return fit_key(config, context.data["fingerprint"], fold, fraction)


def _tuned_by_search(
    model: NetworkModel,
    inner: InnerFolds,
    study_key: str,
    progress: FitProgress | None,
) -> Tuned:
    """Trials of the optimizer's learning rate and weight decay, each on one inner fold after
    another."""
    context = inner.context
    _leave_out_impossible(inner)
    n_trials = context.tuning.trials
    seeds = [stream_seed(context.seed, "trial", *inner.keys, t) for t in range(n_trials)]
    study_file = StudyFile(context.store.study_path(study_key))
    space = check_space(model.search or {})
    study = Study(context.tuning, space, model.hyperparameters(), len(inner), seeds, study_file)
    for parameters, number in study.requests():
        try:
            study.tell(_inner_loss(model, inner, parameters, number))
        except (MemoryError, OSError):  # no fault of these parameters
            raise
        except Exception as e:
            log.debug("inner fit failed", exc_info=True)
            study.tell_failure(e)
        if progress is not None and study.trials[-1].state != "running":
            progress.trial(study.line())
    best = choose(study.trials)
    trials = [TrialRecord(**asdict(t), value=t.value) for t in study.trials]  # type: ignore[typeddict-item]
    return Tuned(
        model.with_hyperparameters(**best.parameters),
        {
            "rule": RULE,
            "search": space,
            "chosen": best.parameters,
            "inner_loss": best.value,
            "trials": trials,
        },
    )


def _inner_loss(
    model: NetworkModel, inner: InnerFolds, parameters: dict[str, float], number: int
) -> float:
    """The weighted loss, on an inner fold's held-out part, of a network trained on the rest.

    :raises TrainingDiverged: no epoch gave a finite loss
    """
    data, codes = _inner_data(inner, number)
    result = model.with_hyperparameters(**parameters).fit(data, inner.context.trainer)
    return model.weighted_loss(result.scores, codes, data.class_weights())


def _leave_out_impossible(inner: InnerFolds) -> None:
    """Keep the inner folds that are possible; name the others.

    :raises SplitError: none is possible
    """
    possible: list[Fold] = []
    prepared = {}
    for j, fold in enumerate(inner.folds):
        try:
            _inner_data(inner, j)
        except (SplitError, RemovalError) as e:
            inner.left_out.append(f"inner fold {fold.number}: {e}")
            continue
        if j in inner.prepared:
            prepared[len(possible)] = inner.prepared[j]
        possible.append(fold)
    inner.folds = possible
    inner.prepared = prepared
    inner.refuse_none()


def _inner_data(inner: InnerFolds, number: int) -> tuple[FitData, np.ndarray]:
    """What a network is given in an inner fold, and the codes of the held-out part.

    :raises SplitError, RemovalError: this inner fold is not possible
    """
    if number in inner.prepared:
        return inner.prepared[number]
    context, fold = inner.context, inner.folds[number]
    keys = (*inner.keys, "inner", fold.number)
    train, validation = context.splitter.train_and_validation(
        context.samples, fold.train, context.seed, *keys
    )
    rows = Parts(train, validation, fold.test)
    _note_rows(inner, rows)
    prepared = prepare(context, rows, fold.train, inner.removal)
    data = prepared.data(context.n_classes, FitSeeds.drawn(context.seed, *keys))
    given = data, prepared.parts["test"].codes
    n_rows = sum(len(f.train) + len(f.test) for f in inner.folds)
    if 4 * n_rows * context.n_genes <= PREPARED_BYTES:
        inner.prepared[number] = given
    return given


def _tuned_by_path(model: RidgeModel, inner: InnerFolds) -> Tuned:
    """One path of penalties per inner fold; the penalty with the smallest mean loss among those
    that every fold reached."""
    paths, possible = [], []
    for fold in inner.folds:
        try:
            data, codes = _inner_data_for_path(inner, fold)
        except (SplitError, RemovalError) as e:
            inner.left_out.append(f"inner fold {fold.number}: {e}")
            continue
        paths.append(model.path_losses(data, "test", codes))
        possible.append(fold)
    inner.folds = possible
    inner.refuse_none()

    trials = [_penalty_trial(model, paths, i) for i in range(len(model.grid()))]
    complete = [(t["value"], t["number"]) for t in trials if t["value"] is not None]
    if not complete:
        raise TuningError(
            "no penalty of model's grid was solved to model.tolerance on every inner fold;"
            " standardise the genes"
        )
    best = trials[min(complete)[1]]
    return Tuned(
        model.at(best["parameters"]["relative_penalty"]),
        {
            "rule": PENALTY_RULE,
            "chosen": best["parameters"],
            "inner_loss": best["value"],
            "trials": trials,
            "at_edge_of_grid": best["number"] in (0, len(trials) - 1),
        },
    )


def _penalty_trial(model: RidgeModel, paths: list[list[dict[str, float]]], i: int) -> TrialRecord:
    """What the inner folds say of the i-th penalty of the grid."""
    steps = [path[i] for path in paths if i < len(path)]
    losses = [step["loss"] for step in steps]
    value = None
    if len(steps) < len(paths):
        state, reason = "pruned", "the loss had risen before"
    elif any(step["relative_gradient"] > model.tolerance for step in steps):
        state, reason = "failed", "not solved to model.tolerance"
    else:
        state, reason = "complete", ""
        value = float(np.mean(losses))
    return {
        "number": i,
        "parameters": {"relative_penalty": float(model.grid()[i])},
        "losses": list(losses),
        "state": state,
        "reason": reason,
        "value": value,
    }


def _inner_data_for_path(inner: InnerFolds, fold: Fold) -> tuple[FitData, np.ndarray]:
    """What a certified model is given in an inner fold: all its rows, for nothing stops it early;
    as inner products where fits share them.

    :raises SplitError, RemovalError: this inner fold is not possible
    """
    context, samples = inner.context, inner.context.samples
    of_class = np.bincount(samples.codes[fold.train], minlength=context.n_classes)
    if not of_class.all():
        name = samples.classes[int(np.argmin(of_class))]
        raise SplitError(
            f"class '{name}' is missing from the training part of inner fold {fold.number}"
        )
    rows = Parts(fold.train, fold.train[:0], fold.test)
    _note_rows(inner, rows)
    seeds = FitSeeds.drawn(context.seed, *inner.keys, "inner", fold.number)
    gram = shared_inner_products(context, rows, fold.train, inner.removal)
    if gram is not None:
        no_genes = np.empty((0, 0), dtype=np.float32)
        train = Part(no_genes, samples.codes[fold.train], fold.train)
        data = FitData(train, None, no_genes, context.n_classes, seeds, gram)
        return data, samples.codes[fold.test]
    prepared = prepare(context, rows, fold.train, inner.removal)
    return prepared.data(context.n_classes, seeds), prepared.parts["test"].codes


def _note_rows(inner: InnerFolds, rows: Parts) -> None:
    for part in (rows.train, rows.validation, rows.test):
        inner.rows_used[part] = True
