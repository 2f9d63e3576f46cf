"""One run, start to end: dataset → task → split → (fraction, fit/tune) → scale → signal removal → model → record → table.

The only room that knows all the others.
"""

import logging
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from threadpoolctl import threadpool_limits

from beyondlinear import tables
from beyondlinear.classifier import FitData, Outcome, Training
from beyondlinear.config import build, check
from beyondlinear.datamodule import Part
from beyondlinear.errors import RemovalError, ResultsError, SplitError
from beyondlinear.metrics import evaluate, platt_scaling
from beyondlinear.progress import FitProgress, duration, said
from beyondlinear.removal.modes import Removal
from beyondlinear.results import Store, circumstances, fit_key, now, run_key, write_json
from beyondlinear.scaling import fit_preparation
from beyondlinear.seeds import stream_seed
from beyondlinear.splits import Fold, Parts, Splitter, n_kept
from beyondlinear.tasks import Samples

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """One (fold, fraction) of a run and the key of its record."""

    fold: Fold
    fraction: float
    key: str


def run(cfg: DictConfig) -> None:
    """Make every fit of the run that the store does not hold yet, then print the run's table.

    :raises UserError: what the user can mend: config, data, no possible fit, a disk that is full
    """
    started = time.monotonic()
    check(cfg)
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)  # device notes and tips, once a fit, would bury ours
    # Lightning 2.6 calls a name that torch 2.13 renamed; nothing a user can do about it
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*is deprecated")
    training: Training = build(cfg.trainer)
    torch.set_num_threads(training.threads)
    with threadpool_limits(training.threads):
        _run(cfg, training, Path(HydraConfig.get().runtime.output_dir))
    log.info("this run took %s", duration(time.monotonic() - started))


def _run(cfg: DictConfig, training: Training, directory: Path) -> None:
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)  # type: ignore[assignment]
    splitter: Splitter = build(cfg.split)
    model, removal, task = build(cfg.model), build(cfg.signal_removal), build(cfg.task)
    store = Store(cfg.results.store)
    adata = build(cfg.dataset)
    labelled = task.labels(adata.obs).notna().to_numpy()
    samples = task.select(adata, splitter.groups(adata.obs, needed=labelled))
    uns = {k: float(v) for k, v in adata.uns.items() if k == "bayes_accuracy"}
    del adata
    names = {group: config[group]["name"] for group in tables.NAMES}
    fingerprint = samples.fingerprint()
    fits = [
        Fit(fold, float(fraction), fit_key(config, fingerprint, fold, fraction))
        for fold in splitter.outer(samples, cfg.seed)
        for fraction in sorted(set(splitter.fractions))
    ]
    _announce(names, samples, fits)
    listed = [{"key": f.key, "fold": f.fold.number, "fraction": f.fraction} for f in fits]
    listing = {"store": str(store.root), "names": names, "seed": cfg.seed, "config": config, "fits": listed}
    write_json(directory / f"fits_{run_key(config)}.json", listing)

    records = {f.key: store.get(f.key) for f in fits}
    pending = [f for f in fits if not _finished(records[f.key])]
    if len(pending) < len(fits):
        log.info("%d of %d fits are done already (%s)", len(fits) - len(pending), len(fits), store.root)
    notices = removal.before_split(samples.x, samples.codes, samples.classes) if pending else []
    with FitProgress(len(pending), names["model"]) as progress:
        for fit in pending:
            elsewhere = store.get(fit.key)  # another run may have made it in the meantime
            if elsewhere is not None and _finished(elsewhere):
                records[fit.key] = elsewhere
                progress.fit_done(f"{said(elsewhere)} (made by another run)")
                continue
            record: dict[str, Any] = {
                "key": fit.key,
                "names": names,
                "seed": cfg.seed,
                "fold": fit.fold.number,
                "held_out": fit.fold.held_out,
                "fraction": fit.fraction,
                "data": _describe(samples, fingerprint) | uns,
            }
            predictions = _make(fit, record, cfg, samples, splitter, removal, model, training, directory, progress)
            record["warnings"] = [*notices, *record.get("warnings", [])]
            record["config"] = config
            store.put(record, predictions)
            records[fit.key] = record
            progress.fit_done(said(record))
    # a found record says who made it first; in this table it counts as this run's
    made = [(records[f.key] or {}) | {"config": config, "names": names} for f in fits]
    for text in dict.fromkeys(w for r in made for w in r.get("warnings", [])):
        log.warning("warning: %s", text)
    idle = sum(r.get("training", {}).get("beats_constant") is False for r in made)
    if idle:
        log.info(
            "%d of %d fits never beat a constant prediction on their tune part: expected on noise and after signal removal, "
            "elsewhere a sign of too few samples or too little training",
            *(idle, len(made)),
        )
    tables.print_cells(tables.as_table(made), Console(width=None if sys.stdout.isatty() else 160))
    log.info("records: %s   this run: %s", store.root, directory)
    _raise_unless_some_done(made)


def _make(
    fit: Fit,
    record: dict[str, Any],
    cfg: DictConfig,
    samples: Samples,
    splitter: Splitter,
    removal: Removal,
    model: Any,
    training: Training,
    directory: Path,
    progress: FitProgress,
) -> dict[str, np.ndarray] | None:
    """Make one fit and complete its record; returns the validation predictions, or None if it was skipped or failed."""
    started = time.monotonic()
    predictions = None
    record["counts"] = {"n_train": n_kept(len(fit.fold.train), fit.fraction), "n_classes": len(samples.classes)}
    try:
        rows = splitter.inner(samples, fit.fold, fit.fraction, cfg.seed)
        record["counts"] |= _counts(samples, rows)
        parts, record["warnings"] = prepare(samples, fit.fold, rows, removal, cfg)
        data = FitData(
            fit=parts["fit"],
            tune=parts.get("tune"),
            validation_x=parts["validation"].x,
            n_classes=len(samples.classes),
            seed=lambda use: stream_seed(cfg.seed, use, fit.fold.number, fit.fraction),
        )
        logger = (
            build(cfg.logger)(name=f"fold{fit.fold.number}_fraction{fit.fraction}")
            if "_target_" in cfg.logger
            else False
        )
        outcome = model.fit(data, training, logger, progress.epoch)
        predictions = _judge(outcome, data, parts["validation"], samples, record)
        record["status"] = "done"
    except (SplitError, RemovalError) as e:
        record |= {"status": "skipped", "reason": str(e)}
    except Exception as e:  # one fit's failure must not cost the others; the next run of the command makes it again
        log.debug("fit failed", exc_info=True)
        record |= {"status": "failed", "reason": f"{type(e).__name__}: {e}", "traceback": traceback.format_exc()}
    seconds = {"seconds": round(time.monotonic() - started, 3), "finished": now()}
    device = {"device": training.accelerator, "threads": training.threads}
    record["circumstances"] = seconds | device | circumstances()
    return predictions


def prepare(
    samples: Samples, fold: Fold, rows: Parts, removal: Removal, cfg: DictConfig
) -> tuple[dict[str, Part], list[str]]:
    """Select, scale and remove signal: the parts of one fit, as the protocol orders it, and warnings.

    Everything is learnt from the fit part alone unless `protocol.fit_on=all`. Under
    `protocol.removal_before_subsetting` the whole training part goes through removal before fit and tune are cut from it.
    :raises RemovalError: a part on which removal is not defined
    """
    learn_from = rows.fit if cfg.protocol.fit_on.name == "fit" else np.arange(len(samples.codes))
    ready = fit_preparation(samples.x, learn_from, top_variance=cfg.select.top_variance, scale=cfg.scale.name)
    notices: list[str] = []

    def part(where: np.ndarray, name: str) -> Part:
        x, codes = ready.apply(samples.x, where), samples.codes[where]
        notices.extend(removal.remove(x, codes, samples.classes, name))
        return Part(x, codes, where)

    inner = {"fit": rows.fit} | ({"tune": rows.tune} if len(rows.tune) else {})
    if cfg.protocol.removal_before_subsetting:
        whole = part(fold.train, "training")
        parts = {}
        for name, where in inner.items():
            inside = np.searchsorted(fold.train, where)
            parts[name] = Part(whole.x[inside], whole.codes[inside], where)
    else:
        parts = {name: part(where, name) for name, where in inner.items()}
    parts["validation"] = part(rows.validation, "validation")
    return parts, notices


def _judge(
    outcome: Outcome, data: FitData, validation: Part, samples: Samples, record: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Score the outcome against the validation labels; completes the record and returns the predictions."""
    probabilities, notes = outcome.probabilities, []
    if probabilities is None and data.tune is not None and outcome.tune_scores is not None:
        probabilities = platt_scaling(outcome.tune_scores, data.tune.codes, outcome.scores)
        notes = ["probabilities by Platt scaling on the tune part"]
    elif probabilities is None:
        notes = ["no log-loss: there is no tune part to calibrate the scores on"]
    judged = evaluate(outcome.scores, validation.codes, probabilities, notes)
    record |= {
        "hyperparameters": outcome.hyperparameters,
        "training": outcome.training,
        "metrics": judged.metrics,
        "confusion": judged.confusion.tolist(),
        "notes": judged.notes,
    }
    predictions = {
        "sample_id": samples.sample_ids[validation.rows],
        "code": validation.codes,
        "classes": np.array(samples.classes),
        "scores": outcome.scores,
    }
    return predictions | ({"probabilities": probabilities} if probabilities is not None else {})


def _finished(record: dict[str, Any] | None) -> bool:
    return record is not None and record.get("status") in ("done", "skipped")


def _counts(samples: Samples, rows: Parts) -> dict[str, Any]:
    sizes = {"n_fit": len(rows.fit), "n_tune": len(rows.tune), "n_validation": len(rows.validation)}
    train = np.concatenate([rows.fit, rows.tune])
    by_class = {
        name: dict(
            zip(samples.classes, np.bincount(samples.codes[part], minlength=len(samples.classes)).tolist(), strict=True)
        )
        for name, part in (("fit", rows.fit), ("tune", rows.tune), ("validation", rows.validation))
    }
    return {
        "n_train": len(train),
        **sizes,
        "n_train_groups": len(np.unique(samples.groups[train])),
        "per_class": by_class,
    }


def _describe(samples: Samples, fingerprint: str) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "n_samples": len(samples.codes),
        "n_genes": samples.x.shape[1],
        "n_groups": len(np.unique(samples.groups)),
        "classes": samples.classes,
        "dropped": samples.dropped,
    }


def _announce(names: dict[str, str], samples: Samples, fits: list[Fit]) -> None:
    per_class = ", ".join(
        f"{c} {n}" for c, n in zip(samples.classes[:12], np.bincount(samples.codes)[:12], strict=True)
    )
    log.info(
        "%s: %s samples × %s genes, %s groups; task %s: %s%s",
        *(
            names["dataset"],
            f"{len(samples.codes):,}",
            f"{samples.x.shape[1]:,}",
            f"{len(np.unique(samples.groups)):,}",
        ),
        *(names["task"], per_class, f", … ({len(samples.classes)} classes)" if len(samples.classes) > 12 else ""),
    )
    log.info(
        "%s, signal removal %s, split %s: %d fits", names["model"], names["signal_removal"], names["split"], len(fits)
    )


def _raise_unless_some_done(records: list[dict[str, Any]]) -> None:
    failed = [r for r in records if r.get("status") == "failed"]
    if failed:
        raise ResultsError(
            f"{len(failed)} of {len(records)} fits failed, the first with {failed[0]['reason']}\n"
            f"{failed[0].get('traceback', '')}\nThe others are recorded; the same command makes only the failed ones again"
        )
    if all(r.get("status") == "skipped" for r in records):
        raise SplitError(f"no fit of this run is possible. {records[0]['reason']}")
