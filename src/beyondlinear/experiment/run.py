"""One run, start to end: samples → plan → fits → table.

The path of one fit is in `fit.py`; the two files together tell the whole story.
"""

import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from threadpoolctl import threadpool_limits

from beyondlinear.evaluation.audit.checks import clean_line, findings_of, summarise
from beyondlinear.evaluation.residual_test.run import make_residual_test
from beyondlinear.experiment.context import RunContext
from beyondlinear.experiment.execute import execute
from beyondlinear.experiment.hyperparameter_search import check_space
from beyondlinear.experiment.load_samples import load_samples
from beyondlinear.experiment.plan import found_records, list_fits, plan_fits
from beyondlinear.experiment.pretraining import refuse_without_weights
from beyondlinear.models.interface import TrainerConfig
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.records import table
from beyondlinear.records.record import FitRecord
from beyondlinear.records.run_state import RunState
from beyondlinear.records.store import RecordStore
from beyondlinear.records.trackers.tracking import Trackers
from beyondlinear.removal.matching import REDUNDANT
from beyondlinear.runtime.config import build, check
from beyondlinear.runtime.errors import ResultsError, SplitError
from beyondlinear.runtime.progress import FitProgress, duration

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> None:
    """Make every fit of the run that the store does not hold yet, then print the run's table.

    :raises UserError: what the user can mend: config, data, no possible fit, a disk that is full
    """
    with _under_way(cfg) as (context, directory):
        if context.cfg.residual_test.name != "none" and context.names["control"] == "none":
            _test(context, directory)
        records = _make_fits(context, directory)
        log.info("records: %s   this run: %s", context.store.root, directory)
        _raise_unless_some_done(records)


def run_test(cfg: DictConfig) -> None:
    """Make the residual-prediction test of the config, and no fit.

    :raises UserError: what the user can mend
    """
    with _under_way(cfg) as (context, directory):
        _test(context, directory)


@contextmanager
def _under_way(cfg: DictConfig) -> Iterator[tuple[RunContext, Path]]:
    """A run's state on disk, its threads, and all that its fits share."""
    started = time.monotonic()
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    with RunState(directory, list(hydra.overrides.task)):
        check(cfg)
        _quiet()
        trainer: TrainerConfig = build(cfg.trainer)
        trainer.set_up()
        with threadpool_limits(trainer.threads):
            yield make_context(cfg, trainer), directory
    log.info("this run took %s", duration(time.monotonic() - started))


def make_context(cfg: DictConfig, trainer: TrainerConfig) -> RunContext:
    """Build each group of the config and load the samples.

    :raises UserError: a config or data that cannot be used
    """
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))
    splitter = build(cfg.split)
    model = build(cfg.model)
    removal = build(cfg.signal_removal)
    tuning = build(cfg.tuning)
    if tuning.method != "none" and isinstance(model, NetworkModel):
        check_space(model.search or {})
    store = RecordStore(cfg.results.store)
    samples, data = load_samples(cfg, splitter, store.root)
    return RunContext(
        cfg=cfg,
        config=config,
        names={group: config[group]["name"] for group in table.GROUPS},
        samples=samples,
        data=data,
        splitter=splitter,
        removal=removal,
        model=model,
        tuning=tuning,
        trainer=trainer,
        store=store,
    )


def _make_fits(context: RunContext, directory: Path) -> list[FitRecord]:
    """Make what the store does not hold; print warnings, the audit and the table of all."""
    if context.splitter.pretrain_share is not None:
        refuse_without_weights(context)
    if context.fits_on_all and context.samples.whole_store is not None:
        log.info(
            "genes are chosen and scaled to 0–1 over all samples of the prepared store"
            " (protocol.fit_on=all)"
        )
    trackers = Trackers(context.cfg.logger, directory)
    trackers.describe(context.config, context.names)
    fits = plan_fits(context)
    list_fits(context, fits, directory)
    found = found_records(context, fits)
    to_make = [fit for fit in fits if fit.key not in found]
    with trackers, FitProgress(len(to_make), context.names["model"]) as progress:
        made = execute(context, to_make, trackers, progress)
    by_key = found | made
    # a found record says who made it first; in this table it counts as this run's
    mine = {"config": context.config, "names": context.names}
    records = [cast(FitRecord, by_key[fit.key] | mine) for fit in fits]
    trackers.end_run(records)
    _conclude(records)
    return records


def _test(context: RunContext, directory: Path) -> None:
    make_residual_test(
        build(context.cfg.residual_test),
        context.config,
        context.names,
        context.data,
        context.samples,
        context.splitter,
        context.store,
        directory,
    )


def _quiet() -> None:
    """What Lightning and torch say once a fit and nobody can mend would bury our own lines."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 calls a name that torch 2.13 renamed
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*is deprecated")
    # our SLURM launcher knows what it does
    warnings.filterwarnings("ignore", message="The `srun` command is available")


def _conclude(records: Sequence[FitRecord]) -> None:
    """Warnings, the audit and the table."""
    texts = [text for record in records for text in record.get("warnings", [])]
    for text in dict.fromkeys(texts):
        log.warning("warning: %s", text)
    idle = [r for r in records if r.get("training", {}).get("beats_constant") is False]
    if idle:
        log.info(
            "%d of %d fits never beat a constant prediction on their validation part: expected on"
            " noise and after signal removal, elsewhere a sign of too few samples or too little"
            " training",
            len(idle),
            len(records),
        )
    audited = [findings_of(record) for record in records if "audit" in record]
    for line in summarise(audited):
        log.info("audit: %s", line)
    leaks = [f for findings in audited for f in findings if f.severity == "leak"]
    if audited and not leaks:
        log.info("%s", clean_line(len(audited)))
    width = None if sys.stdout.isatty() else 160
    table.print_cells(table.as_table(records), Console(width=width))


def _raise_unless_some_done(records: Sequence[FitRecord]) -> None:
    failed = [r for r in records if r["status"] == "failed"]
    if failed:
        raise ResultsError(
            f"{len(failed)} of {len(records)} fits failed, the first with {failed[0]['reason']}\n"
            f"{failed[0].get('traceback', '')}\nThe others are recorded; the same command makes"
            " only the failed ones again"
        )
    reasons = [r.get("reason", "") for r in records]
    if all(reason.startswith(REDUNDANT) for reason in reasons):
        log.warning("no fit of this run is possible, which is its result. %s", reasons[0])
    elif all(r["status"] == "skipped" for r in records):
        raise SplitError(f"no fit of this run is possible. {reasons[0]}")
