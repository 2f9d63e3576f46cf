"""One fit: its rows, its hyperparameters, its parts, its model, its record."""

import logging
import time
import traceback
from dataclasses import asdict
from typing import cast

import numpy as np
from pytorch_lightning.loggers import Logger

from beyondlinear.evaluation.audit.checks import audit_fit
from beyondlinear.evaluation.audit.row_usage import THINNED, RowUsageLog
from beyondlinear.evaluation.score_fit import FitScores, certified_optimum, score_fit
from beyondlinear.experiment.context import Pretrained, RunContext
from beyondlinear.experiment.nested_cv import Tuned, choose_hyperparameters
from beyondlinear.experiment.plan import Fit
from beyondlinear.experiment.prepare import (
    Prepared,
    by_part,
    fit_seeds,
    prepare,
    shared_inner_products,
)
from beyondlinear.experiment.pretraining import (
    pretrained_model,
    pretraining_rows,
    shared_preparation,
)
from beyondlinear.experiment.probe_leaks import probe_leaks
from beyondlinear.models.interface import FitResult, Model, Part
from beyondlinear.records.record import FORMAT, Counts, FitRecord, ModelRecord, TrainingRecord
from beyondlinear.records.saved_model import model_arrays
from beyondlinear.removal.frozen import frozen_arrays
from beyondlinear.runtime.errors import (
    OptimumError,
    RemovalError,
    ResultsError,
    SplitError,
    TuningError,
)
from beyondlinear.runtime.files import now
from beyondlinear.runtime.progress import FitProgress
from beyondlinear.runtime.provenance import provenance
from beyondlinear.tasks.splits import Fold, Parts, n_kept

log = logging.getLogger(__name__)


def make_fit(
    context: RunContext,
    fit: Fit,
    logger: Logger | list[Logger] | None = None,
    progress: FitProgress | None = None,
) -> FitRecord:
    """Make one fit and put its record and predictions into the store.

    A fit that is not possible is recorded as skipped, one that fails as failed (the next run of the
    command makes it again): the other fits go on.

    :param logger: told of the losses of each epoch
    :raises ResultsError: the store cannot be written: no other fit would fare better
    """
    started = time.monotonic()
    record = _begun(context, fit)
    arrays = None
    try:
        arrays = _made(context, fit, record, logger, progress)
        record["status"] = "done"
    except (SplitError, RemovalError, OptimumError, TuningError) as e:
        record["status"] = "skipped"
        record["reason"] = str(e)
    except ResultsError:
        raise
    except Exception as e:
        log.debug("fit failed", exc_info=True)
        record["status"] = "failed"
        record["reason"] = f"{type(e).__name__}: {e}"
        record["traceback"] = traceback.format_exc()
    record["provenance"] = {
        "seconds": round(time.monotonic() - started, 3),
        "finished": now(),
        "device": context.trainer.accelerator,
        "threads": context.trainer.threads,
        **provenance(),
    }
    context.store.put(record, arrays)
    _clean_up(context, fit, record)
    return record


def _begun(context: RunContext, fit: Fit) -> FitRecord:
    """What is known of a fit before it is made."""
    return {
        "format": FORMAT,
        "key": fit.key,
        "names": context.names,
        "seed": context.seed,
        "fold": fit.fold.number,
        "held_out": fit.fold.held_out,
        "fraction": fit.fraction,
        "pretrained": fit.pretrained,
        "data": context.data,
        "config": context.config,
        "status": "failed",  # until it is done
        "model": cast(ModelRecord, asdict(context.model.properties)),
        "counts": {
            "n_outer_train": n_kept(len(fit.fold.train), fit.fraction),
            "n_classes": context.n_classes,
        },
        "warnings": list(context.warnings),
    }


def _made(
    context: RunContext,
    fit: Fit,
    record: FitRecord,
    logger: Logger | list[Logger] | None,
    progress: FitProgress | None,
) -> dict[str, np.ndarray]:
    """Complete the record, step by step; returns the arrays that lie beside it."""
    samples, fold, trainer = context.samples, fit.fold, context.trainer

    rows = context.splitter.inner(samples, fold, fit.fraction, context.seed)
    record["counts"] = _counts(context, by_part(rows))
    tuned = Tuned(context.model, {"method": "none"})
    if context.tuning.method != "none":
        tuned = choose_hyperparameters(context, fold, fit.fraction, progress)
    record["tuning"] = tuned.record

    pretrained = None
    if fit.pretrained:
        chosen = tuned.record.get("chosen", {})
        pretrained = pretrained_model(context, fold, tuned.model, chosen, progress)
    if fold.pretraining is None:
        preparation = None
        prepared = prepare(context, rows, fold.train, context.removal)
        preparation_rows = prepared.preparation_rows
    else:
        preparation, preparation_rows = shared_preparation(context, fold)
        prepared = prepare(context, rows, fold.train, context.removal, preparation)
    record["warnings"] = [*context.warnings, *prepared.warnings]
    record["removal"] = {"labels_of": prepared.removal.labels_of}
    record["counts"] = _counts(context, _rows_of(prepared.parts))
    record["leak_probes"] = probe_leaks(context, fit, prepared.parts)

    gram = None
    if preparation is None and _works_on_inner_products(context, tuned.model):
        gram = shared_inner_products(context, rows, fold.train, context.removal)
    data = prepared.data(context.n_classes, fit_seeds(context, fold, fit.fraction), gram)
    result = tuned.model.fit(
        data,
        trainer,
        logger=logger,
        on_epoch=None if progress is None else progress.epoch,
        start=None if pretrained is None else pretrained.result.network,
        checkpoint=context.store.checkpoint_path(fit.key),
    )
    record["hyperparameters"] = result.hyperparameters
    record["training"] = cast(TrainingRecord, result.training)

    test = prepared.parts["test"]
    scores = score_fit(result, data.validation, test)
    record["metrics"] = scores.metrics
    record["confusion"] = scores.confusion.tolist()
    record["notes"] = scores.notes
    if tuned.model.report_optimum is not None:
        record["optimum"] = certified_optimum(tuned.model, result, data, test, trainer)

    usage = row_usage(context, fold, prepared, preparation_rows, tuned, pretrained, result, scores)
    record["row_usage"] = usage.summary(samples.sample_ids)
    arrays = _predictions(context, test, result, scores)
    arrays |= result.arrays
    if prepared.removal.learns:
        arrays |= frozen_arrays(prepared.removal, prepared.preparation, samples.gene_ids)
    if context.cfg.results.keep_model:
        arrays |= model_arrays(result, prepared.preparation, samples.gene_ids)
    arrays |= usage.arrays()
    assert context.manifest is not None
    findings = audit_fit(record, usage, context.manifest, arrays)
    record["audit"] = [
        {"severity": f.severity, "check": f.check, "evidence": f.evidence} for f in findings
    ]
    return arrays


def _works_on_inner_products(context: RunContext, model: Model) -> bool:
    """Whether the fit, or the optimum it is compared with, needs no genes."""
    if model.report_optimum is not None:
        return True
    return model.needs_no_genes and not context.cfg.results.keep_model


def row_usage(
    context: RunContext,
    fold: Fold,
    prepared: Prepared,
    preparation_rows: np.ndarray,
    tuned: Tuned,
    pretrained: Pretrained | None,
    result: FitResult,
    scores: FitScores,
) -> RowUsageLog:
    """Which rows each part held and each fitted step learnt from, as the steps returned it."""
    usage = RowUsageLog(len(context.samples.codes))
    for name, part in prepared.parts.items():
        usage.part(name, part.rows)
    if prepared.removal.thins:
        left_out = np.setdiff1d(prepared.train_rows, prepared.parts["train"].rows)
        usage.part(THINNED, left_out)
    if tuned.rows_used is not None:
        usage.step("tuning", tuned.rows_used)
    if prepared.preparation.genes is not None or prepared.preparation.shift is not None:
        usage.step("preparation", preparation_rows)
    if prepared.removal_carries_over:
        usage.step("removal", prepared.removal_rows)
    if fold.pretraining is not None:
        rows = pretraining_rows(context, fold) if pretrained is None else pretrained.rows
        _pretraining_parts(usage, rows)
    if pretrained is not None:
        for step, used in pretrained.result.rows_used.items():
            usage.step("stopping" if step == "stopping" else "pretraining", used)
    for step, used in result.rows_used.items():
        usage.step(step, used)
    if scores.calibration_rows is not None:
        usage.step("calibration", scores.calibration_rows)
    return usage


def _pretraining_parts(usage: RowUsageLog, rows: Parts) -> None:
    usage.part("pretraining train", rows.train)
    if len(rows.validation):
        usage.part("pretraining validation", rows.validation)


def _predictions(
    context: RunContext, test: Part, result: FitResult, scores: FitScores
) -> dict[str, np.ndarray]:
    """What is kept of the test part, by sample id."""
    arrays = {
        "sample_id": context.samples.sample_ids[test.rows],
        "code": test.codes,
        "classes": np.array(context.samples.classes),
        "scores": result.scores,
    }
    if scores.probabilities is not None:
        arrays["probabilities"] = scores.probabilities
    return arrays


def _rows_of(parts: dict[str, Part]) -> dict[str, np.ndarray]:
    return {name: part.rows for name, part in parts.items()}


def _counts(context: RunContext, rows_by_part: dict[str, np.ndarray]) -> Counts:
    samples = context.samples
    rows = {
        name: rows_by_part.get(name, np.empty(0, dtype=np.int64))
        for name in ("train", "validation", "test")
    }
    outer_train = np.concatenate([rows["train"], rows["validation"]])
    per_class = {}
    for name, where in rows.items():
        of_class = np.bincount(samples.codes[where], minlength=context.n_classes).tolist()
        per_class[name] = dict(zip(samples.classes, of_class, strict=True))
    return {
        "n_outer_train": len(outer_train),
        "n_classes": context.n_classes,
        "n_train": len(rows["train"]),
        "n_validation": len(rows["validation"]),
        "n_test": len(rows["test"]),
        "n_train_groups": len(np.unique(samples.groups[outer_train])),
        "per_class": per_class,
    }


def _clean_up(context: RunContext, fit: Fit, record: FitRecord) -> None:
    """Remove what let the fit go on after an interruption: its record holds it all now. A fit that
    is not pretrained leaves its trials to its twin, and one of several that share a choice of
    hyperparameters to the others."""
    context.store.checkpoint_path(fit.key).unlink(missing_ok=True)
    if record["status"] == "done" and fit.pretrained is not False and not context.tunes_once:
        study = record["tuning"].get("study", fit.key)
        context.store.study_path(study).unlink(missing_ok=True)
