"""One fit: its parts, its hyperparameters, its model, its record."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beyondlinear.audit import audit_fit
from beyondlinear.circumstances import circumstances
from beyondlinear.classifier import NetworkModel
from beyondlinear.errors import ConfigError, OptimumError, RemovalError, ResultsError, SplitError, TuningError
from beyondlinear.judgement import certified_optimum, judge
from beyondlinear.ledger import THINNED, Ledger, Sheet
from beyondlinear.linear.reduction import Gram
from beyondlinear.linear.ridge import RidgeModel
from beyondlinear.meters import read_meters
from beyondlinear.parts import Bench, Prepared, named, prepare, shared_inner_products
from beyondlinear.progress import FitProgress
from beyondlinear.removal.frozen import frozen_arrays
from beyondlinear.results import now
from beyondlinear.scaling import Preparation
from beyondlinear.seeds import stream_seed
from beyondlinear.selection import choose_hyperparameters
from beyondlinear.splits import Fold, Parts, n_kept
from beyondlinear.stored import model_arrays
from beyondlinear.training import FitData, Outcome, TrainingDiverged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """One (fold, fraction) of a run and the key of its record; pretrained: None where nothing pretrains."""

    fold: Fold
    fraction: float
    key: str
    pretrained: bool | None = None

    @property
    def name(self) -> str:
        """E.g. fold0_fraction1.0, unique in its run."""
        suffix = "" if self.pretrained is None else f"_pretrained_{self.pretrained}".lower()
        return f"fold{self.fold.number}_fraction{self.fraction}{suffix}"


@dataclass
class Pretrained:
    """The model pretrained in one rotation, made once for all fractions; saw: the rows that its steps learnt from."""

    outcome: Outcome
    rows: Parts
    saw: list[tuple[str, np.ndarray]]


@dataclass
class Pretraining:
    """What the rotations of a run have pretrained so far; only the latest is kept."""

    latest: dict[tuple[Any, ...], Pretrained] = field(default_factory=dict)

    def of(self, bench: Bench, fold: Fold, model: Any, chosen: dict[str, float], progress: FitProgress) -> Pretrained:
        """:raises SplitError: the pretraining part has no fit and tune part with every class"""
        key = (fold.number, *sorted(chosen.items()))  # each fraction may have been tuned to other hyperparameters
        if key not in self.latest:
            assert fold.pretraining is not None
            rows = pretraining_rows(bench, fold)
            prepared = prepare(bench, rows, fold.pretraining, bench.removal)
            saw: list[tuple[str, np.ndarray]] = []
            seeds = _seeds(bench, fold, "pretraining")
            data = prepared.data(len(bench.samples.classes), seeds, saw=lambda step, seen: saw.append((step, seen)))
            outcome = model.fit(data, bench.training, False, progress.epoch)
            self.latest = {key: Pretrained(outcome, rows, saw)}
        return self.latest[key]


def pretraining_rows(bench: Bench, fold: Fold) -> Parts:
    """The pretraining part's own fit and tune part."""
    assert fold.pretraining is not None
    seed = bench.cfg.seed
    fit, tune = bench.splitter.fit_and_tune(bench.samples, fold.pretraining, seed, "pretraining", fold.number)
    return Parts(fit, tune, fold.validation[:0])


def _preparation(bench: Bench, fold: Fold) -> tuple[Preparation | None, np.ndarray | None]:
    """Where there is pretraining, selection and scaling are those of the pretraining's fit part in both of a pair of fits: a
    network goes on training on the scale it began with, and its twin differs from it in nothing but the pretraining."""
    if fold.pretraining is None:
        return None, None
    rows = np.arange(len(bench.samples.codes)) if bench.fits_on_all else pretraining_rows(bench, fold).fit
    return bench.learn(rows), rows


def can_pretrain(bench: Bench) -> None:
    """:raises ConfigError: the split pretrains and the model cannot go on training"""
    if bench.splitter.pretrain_share is not None and not isinstance(bench.model, NetworkModel):
        raise ConfigError(
            f"model={bench.config['model']['name']} cannot be pretrained: it has no weights to go on training from; use "
            "logistic_regression, linear_svm, three_layer or five_layer with split=pretrain, or another split"
        )


class FitUnderWay:
    """One fit in three steps: what its model is given, the training, the judgement. What goes wrong on the way ends it and is
    its record's status; the other fits go on.

    record: completed on the way; arrays: in the end what is kept beside it, None if the fit was skipped or failed.
    """

    def __init__(self, bench: Bench, fit: Fit, record: dict[str, Any], sheet: Sheet) -> None:
        self.bench, self.fit, self.record, self.sheet = bench, fit, record, sheet
        self.ledger = Ledger(len(bench.samples.codes))
        self.model: Any = bench.model
        self.before: Pretrained | None = None
        self.prepared: Prepared | None = None
        self.data: FitData | None = None
        self.outcome: Outcome | None = None
        self.arrays: dict[str, np.ndarray] | None = None
        self.seconds = 0.0

    @property
    def goes_on(self) -> bool:
        return "status" not in self.record

    def prepare(self, pretraining: Pretraining, progress: FitProgress) -> None:
        """Hyperparameters and parts: all that the model is given."""
        bench, record, fold, fraction = self.bench, self.record, self.fit.fold, self.fit.fraction
        samples, ledger = bench.samples, self.ledger
        record["counts"] = {"n_train": n_kept(len(fold.train), fraction), "n_classes": len(samples.classes)}
        with self._recorded():
            rows = bench.splitter.inner(samples, fold, fraction, bench.cfg.seed)
            record["counts"] |= _counts(bench, named(rows))
            self.model, record["tuning"], seen = choose_hyperparameters(bench, fold, fraction, progress.trial)
            if len(seen):
                ledger.saw("tuning", seen)
            if self.fit.pretrained:
                chosen = record["tuning"].get("chosen", {})
                self.before = pretraining.of(bench, fold, self.model, chosen, progress)
            preparation, learnt_from = _preparation(bench, fold)
            prepared = self.prepared = prepare(bench, rows, fold.train, bench.removal, preparation)
            record["warnings"] = prepared.warnings
            record["meters"] = read_meters(bench, fold, fraction, self.fit.pretrained, prepared.parts)
            record["removal"] = {"labels_of": prepared.removal.labels_of}
            record["counts"] |= _counts(bench, {name: part.rows for name, part in prepared.parts.items()})
            learnt_from = prepared.learnt_from if learnt_from is None else learnt_from
            _write_down(ledger, bench, fold, prepared, learnt_from, self.before)
            shared = None if preparation is not None else _gram(bench, rows, fold, self.model)
            self.data = prepared.data(len(samples.classes), _seeds(bench, fold, fraction), shared, saw=ledger.saw)

    def train(self, progress: FitProgress, logger: Any = False) -> None:
        """:param logger: told of the losses per epoch"""
        if self.goes_on:
            with self._recorded():
                extra: dict[str, Any] = {"start": self.before.outcome.network} if self.before else {}
                if isinstance(self.model, NetworkModel):
                    extra["checkpoint"] = self.bench.store.checkpoint_path(self.fit.key)
                self.outcome = self.model.fit(self.data, self.bench.training, logger, progress.epoch, **extra)

    def take(self, outcome: Outcome | TrainingDiverged, seconds: float) -> None:
        """What came of a training elsewhere, and this fit's share of its time."""
        self.seconds += seconds
        with self._recorded():
            if isinstance(outcome, TrainingDiverged):
                raise outcome
            self.outcome = outcome

    def judge(self) -> None:
        """Metrics, predictions, audit."""
        bench, record, ledger = self.bench, self.record, self.ledger
        if self.goes_on:
            with self._recorded():
                assert self.outcome is not None
                assert self.data is not None
                assert self.prepared is not None
                samples, outcome, prepared = bench.samples, self.outcome, self.prepared
                arrays = judge(bench, outcome, self.data, prepared, record)
                if isinstance(self.model, NetworkModel) and self.model.report_optimum is not None:
                    record["optimum"] = certified_optimum(bench, self.model, outcome, self.data, prepared)
                record["ledger"] = ledger.summary(samples.sample_ids)
                arrays |= outcome.arrays | frozen_arrays(prepared.removal, prepared.preparation, samples.gene_ids)
                if bench.cfg.results.keep_model:
                    arrays |= model_arrays(outcome, prepared.preparation, samples.gene_ids)
                arrays |= ledger.arrays()
                record["status"] = "done"
                record["audit"] = [finding.__dict__ for finding in audit_fit(record, ledger, self.sheet, arrays)]
                self.arrays = arrays
        device = {"device": bench.training.accelerator, "threads": bench.training.threads}
        record["circumstances"] = {"seconds": round(self.seconds, 3), "finished": now()} | device | circumstances()

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except (SplitError, RemovalError, OptimumError, TuningError) as e:
            self.record |= {"status": "skipped", "reason": str(e)}
        except ResultsError:  # the store itself is not usable: no other fit would fare better
            raise
        except Exception as e:  # one fit's failure must not cost the others; the next run of the command makes it again
            log.debug("fit failed", exc_info=True)
            said = {"reason": f"{type(e).__name__}: {e}", "traceback": traceback.format_exc()}
            self.record |= {"status": "failed"} | said
        finally:
            self.seconds += time.monotonic() - started


def _seeds(bench: Bench, fold: Fold, key: float | str) -> Callable[[str], int]:
    """Seeds of one training. Where there is pretraining, all trainings of a rotation start from one initialisation."""

    def seed(use: str) -> int:
        if fold.pretraining is not None and use == "initialisation":
            return stream_seed(bench.cfg.seed, use, fold.number)
        return stream_seed(bench.cfg.seed, use, fold.number, key)

    return seed


def _gram(bench: Bench, rows: Parts, fold: Fold, model: Any) -> Gram | None:
    """Inner products that fits share, for the models that need no more."""
    linear = isinstance(model, RidgeModel) and not model.keep_coefficients and not bench.cfg.results.keep_model
    comparable = isinstance(model, NetworkModel) and model.report_optimum is not None
    return shared_inner_products(bench, rows, fold.train, bench.removal) if linear or comparable else None


def _write_down(
    ledger: Ledger, bench: Bench, fold: Fold, prepared: Prepared, learnt_from: np.ndarray, before: Pretrained | None
) -> None:
    """Which rows are in which part, and which were learnt from before the model is: it writes down its own."""
    for name, part in prepared.parts.items():
        ledger.part(name, part.rows)
    if prepared.removal.thins:
        ledger.part(THINNED, np.setdiff1d(prepared.fit_rows, prepared.parts["fit"].rows))
    if prepared.preparation.genes is not None or prepared.preparation.shift is not None:
        ledger.saw("preparation", learnt_from)
    if prepared.learns_removal:
        ledger.saw("removal", prepared.removed_with)
    if fold.pretraining is not None:
        rows = before.rows if before is not None else pretraining_rows(bench, fold)
        for name, where in (("pretraining fit", rows.fit), ("pretraining tune", rows.tune)):
            if len(where):
                ledger.part(name, where)
    for step, seen in before.saw if before is not None else []:
        ledger.saw("stopping" if step == "stopping" else "pretraining", seen)


def _counts(bench: Bench, parts: dict[str, np.ndarray]) -> dict[str, Any]:
    samples, n_classes = bench.samples, len(bench.samples.classes)
    rows = {name: parts.get(name, np.empty(0, dtype=np.int64)) for name in ("fit", "tune", "validation")}
    train = np.concatenate([rows["fit"], rows["tune"]])
    by_class = {
        name: dict(zip(samples.classes, np.bincount(samples.codes[part], minlength=n_classes).tolist(), strict=True))
        for name, part in rows.items()
    }
    return {
        "n_train": len(train),
        **{f"n_{name}": len(part) for name, part in rows.items()},
        "n_train_groups": len(np.unique(samples.groups[train])),
        "per_class": by_class,
    }
