"""One run, start to end: dataset → task → split → (fraction, fit/tune) → scale → signal removal → model → record → table.

The only room that knows all the others.
"""

import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from threadpoolctl import threadpool_limits

from beyondlinear import tables
from beyondlinear.audit import Finding, clean_line, summarise
from beyondlinear.classifier import NetworkModel, check_search
from beyondlinear.config import build, check
from beyondlinear.confounding import Confounding, confounding, refuse_labels_that_equal_groups
from beyondlinear.controls import Setting
from beyondlinear.errors import ResultsError, SplitError
from beyondlinear.fit import Fit, can_pretrain
from beyondlinear.gathering import row
from beyondlinear.ledger import Sheet, make_sheet, read_sheet, sheet_path
from beyondlinear.parts import Bench
from beyondlinear.pending import Pending
from beyondlinear.progress import FitProgress, duration
from beyondlinear.removal.thinning import REDUNDANT
from beyondlinear.residual_test.run import make_verdict
from beyondlinear.results import Store, fit_key, is_finished, run_key, write_json
from beyondlinear.splits import Splitter
from beyondlinear.sweeps.state import RunState
from beyondlinear.tasks import Samples
from beyondlinear.trackers.tracking import Trackers
from beyondlinear.training import Training
from beyondlinear.tuning import check_space

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> None:
    """Make every fit of the run that the store does not hold yet, then print the run's table.

    :raises UserError: what the user can mend: config, data, no possible fit, a disk that is full
    """
    started = time.monotonic()
    hydra = HydraConfig.get()
    with RunState(Path(hydra.runtime.output_dir), list(hydra.overrides.task)):
        _prepared(cfg)
    log.info("this run took %s", duration(time.monotonic() - started))


def _prepared(cfg: DictConfig) -> None:
    check(cfg)
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)  # device notes and tips, once a fit, would bury ours
    # Lightning 2.6 calls a name that torch 2.13 renamed; nothing a user can do about it
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*is deprecated")
    warnings.filterwarnings(
        "ignore", message="The `srun` command is available"
    )  # our SLURM launcher knows what it does
    training: Training = build(cfg.trainer)
    training.set_up()
    with threadpool_limits(training.threads):
        _run(cfg, training, Path(HydraConfig.get().runtime.output_dir))


def _run(cfg: DictConfig, training: Training, directory: Path) -> None:
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)  # type: ignore[assignment]
    splitter: Splitter = build(cfg.split)
    trackers = Trackers(cfg.logger, directory)
    model, removal, task, tuning = build(cfg.model), build(cfg.signal_removal), build(cfg.task), build(cfg.tuning)
    if isinstance(model, NetworkModel):
        check_search(model)
        check_space(model.search or {})
    store = Store(cfg.results.store)
    source = build(cfg.dataset)
    adata = source.load() if hasattr(source, "load") else source  # a store is prepared, or was; a table was read
    labelled = task.labels(adata.obs).notna().to_numpy()
    samples = task.select(adata, splitter.groups(adata.obs, needed=labelled))
    known = {k: float(v) for k, v in adata.uns.items() if k == "bayes_accuracy"}
    del adata
    refuse_labels_that_equal_groups(samples.codes, samples.groups, samples.classes)
    confounded = confounding(samples.codes, samples.groups, samples.classes)
    samples, control = build(cfg.control).apply(
        samples, cfg.seed, Setting(cfg.select.top_variance, store.root / "controls")
    )
    if control:
        known = {"bayes_accuracy": control["bayes_accuracy"], "control": control}
    described = _describe(samples, samples.fingerprint(), confounded) | known
    names = {group: config[group]["name"] for group in tables.GROUPS}
    fingerprint = described["fingerprint"]
    beside = config["test"].get("beside", False)
    if config["test"]["name"] != "none" and not (beside and names["control"] != "none"):
        _announce(names, samples)
        make_verdict(build(cfg.test), config, names, described, samples, splitter, store, directory)
        if not beside:
            return
    bench = Bench(cfg, config, samples, fingerprint, splitter, removal, model, tuning, training, store, directory)
    can_pretrain(bench)
    if bench.fits_on_all and samples.whole_store is not None:
        log.info("genes are chosen and scaled to 0–1 over all samples of the prepared store (protocol.fit_on=all)")
    fits = [
        Fit(fold, float(fraction), fit_key(config, fingerprint, fold, fraction, pretrained), pretrained)
        for fold in splitter.outer(samples, cfg.seed)
        for pretrained in ([False, True] if splitter.pretrain_share is not None else [None])
        for fraction in sorted(set(splitter.fractions))
    ]
    _announce(names, samples)
    log.info(
        "%s, signal removal %s, split %s: %d fits", names["model"], names["signal_removal"], names["split"], len(fits)
    )
    if confounded is not None and confounded.rests_on_few(splitter.folds):
        log.info("%s", confounded.report(splitter.folds))
    listed = [{"key": f.key, "fold": f.fold.number, "fraction": f.fraction, "pretrained": f.pretrained} for f in fits]
    listing = {"store": str(store.root), "names": names, "seed": cfg.seed, "config": config, "fits": listed}
    write_json(directory / f"fits_{run_key(config)}.json", listing)

    records = {f.key: store.get(f.key) for f in fits}
    pending = [f for f in fits if not is_finished(records[f.key])]
    if len(pending) < len(fits):
        log.info("%d of %d fits are done already (%s)", len(fits) - len(pending), len(fits), store.root)
    sheet = _sheet(bench) if pending else None
    notices = removal.before_split(bench.rows("all", np.arange(len(samples.codes)), samples.x)) if pending else []
    trackers.describe(config, names)
    with trackers, FitProgress(len(pending), names["model"]) as progress:
        Pending(bench, records, sheet, notices, described, trackers, progress).make(pending)
    # a found record says who made it first; in this table it counts as this run's
    made = [(records[f.key] or {}) | {"config": config, "names": names} for f in fits]
    trackers.end_run(made)
    _conclude(made)
    log.info("records: %s   this run: %s", store.root, directory)
    if cfg.results.pack_from is not None and len(fits) >= cfg.results.pack_from and all(map(is_finished, made)):
        store.pack(run_key(config), [f.key for f in fits], row)
    _raise_unless_some_done(made)


def _conclude(made: list[dict[str, Any]]) -> None:
    """Warnings, the audit and the table."""
    for text in dict.fromkeys(w for r in made for w in r.get("warnings", [])):
        log.warning("warning: %s", text)
    idle = sum(r.get("training", {}).get("beats_constant") is False for r in made)
    if idle:
        log.info(
            "%d of %d fits never beat a constant prediction on their tune part: expected on noise and after signal removal, "
            "elsewhere a sign of too few samples or too little training",
            *(idle, len(made)),
        )
    audited = [[Finding(**f) for f in r["audit"]] for r in made if "audit" in r]
    for line in summarise(audited):
        log.info("audit: %s", line)
    if audited and not any(f.severity == "leak" for findings in audited for f in findings):
        log.info("%s", clean_line(len(audited)))
    tables.print_cells(tables.as_table(made), Console(width=None if sys.stdout.isatty() else 160))


def _sheet(bench: Bench) -> Sheet:
    """The sheet of samples that the audit of these fits needs, made once for a data set."""
    path = sheet_path(bench.store.root, bench.fingerprint)
    if path.exists():
        return read_sheet(path)
    sheet = make_sheet(bench.samples)
    sheet.write(path)
    return sheet


def _describe(samples: Samples, fingerprint: str, confounded: Confounding | None) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "n_samples": len(samples.codes),
        "n_genes": samples.x.shape[1],
        "n_groups": len(np.unique(samples.groups)),
        "classes": samples.classes,
        "dropped": samples.dropped,
        "confounding": confounded.summary() if confounded is not None else None,
    }


def _announce(names: dict[str, str], samples: Samples) -> None:
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


def _raise_unless_some_done(records: list[dict[str, Any]]) -> None:
    failed = [r for r in records if r.get("status") == "failed"]
    if failed:
        raise ResultsError(
            f"{len(failed)} of {len(records)} fits failed, the first with {failed[0]['reason']}\n"
            f"{failed[0].get('traceback', '')}\nThe others are recorded; the same command makes only the failed ones again"
        )
    if all(str(r.get("reason", "")).startswith(REDUNDANT) for r in records):
        log.warning("no fit of this run is possible, which is its result. %s", records[0]["reason"])
    elif all(r.get("status") == "skipped" for r in records):
        raise SplitError(f"no fit of this run is possible. {records[0]['reason']}")
