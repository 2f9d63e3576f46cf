"""The samples of a run: data set → task and groups → control, and what a record says of them."""

import logging
from pathlib import Path
from typing import cast

import numpy as np
from omegaconf import DictConfig

from beyondlinear.records.record import ConfoundingRecord, ControlRecord, DataRecord
from beyondlinear.runtime.config import build
from beyondlinear.tasks.confounding import confounding, refuse_labels_that_equal_groups
from beyondlinear.tasks.controls import NoControl, Setting
from beyondlinear.tasks.splits import Splitter
from beyondlinear.tasks.task import Samples, Task

log = logging.getLogger(__name__)

MOST_CLASSES = 12  # that are named with their counts


def load_samples(
    cfg: DictConfig, splitter: Splitter, store_root: Path
) -> tuple[Samples, DataRecord]:
    """Load the data set, select the labelled samples of the task, apply the control, and say in one
    line what there is.

    :raises UserError: data that cannot be read, labels or groups that cannot be used
    """
    source = build(cfg.dataset)
    # a data set that is prepared on disk gives a source; a file or a simulation gives the table
    adata = source.load() if hasattr(source, "load") else source
    task: Task = build(cfg.task)
    labelled = task.labels(adata.obs).notna().to_numpy()
    samples = task.select(adata, splitter.groups(adata.obs, needed=labelled))
    bayes_accuracy = adata.uns.get("bayes_accuracy")
    del adata

    refuse_labels_that_equal_groups(samples.codes, samples.groups, samples.classes)
    confounded = confounding(samples.codes, samples.groups, samples.classes)
    control = build(cfg.control)
    control_record: ControlRecord | None = None
    if not isinstance(control, NoControl):
        setting = Setting(cfg.select.top_variance, store_root / "controls")
        samples, control_record = control.apply(samples, cfg.seed, setting)

    data = describe(samples)
    if confounded is not None:
        data["confounding"] = cast(ConfoundingRecord, confounded.summary())
    if control_record is not None:
        data["control"] = control_record
        bayes_accuracy = control_record["bayes_accuracy"]
    if bayes_accuracy is not None:
        data["bayes_accuracy"] = float(bayes_accuracy)
    _announce(cfg, samples)
    if confounded is not None and confounded.rests_on_few(splitter.folds):
        log.info("%s", confounded.report(splitter.folds))
    return samples, data


def describe(samples: Samples) -> DataRecord:
    """What a record says of the samples."""
    return {
        "fingerprint": samples.fingerprint(),
        "n_samples": len(samples.codes),
        "n_genes": samples.x.shape[1],
        "n_groups": len(np.unique(samples.groups)),
        "classes": samples.classes,
        "dropped": samples.dropped,
        "confounding": None,
    }


def _announce(cfg: DictConfig, samples: Samples) -> None:
    counts = np.bincount(samples.codes)
    shown = zip(samples.classes[:MOST_CLASSES], counts[:MOST_CLASSES], strict=True)
    classes = ", ".join(f"{name} {n}" for name, n in shown)
    if len(samples.classes) > MOST_CLASSES:
        classes += f", … ({len(samples.classes)} classes)"
    n_samples, n_genes = samples.x.shape
    n_groups = len(np.unique(samples.groups))
    log.info(
        "%s: %s samples × %s genes, %s groups; task %s: %s",
        cfg.dataset.name,
        f"{n_samples:,}",
        f"{n_genes:,}",
        f"{n_groups:,}",
        cfg.task.name,
        classes,
    )
