"""The residual-prediction test as a run: on the samples, groups and folds of a config, with a record of its own."""

import hashlib
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from beyondlinear.circumstances import circumstances
from beyondlinear.controls import label_units
from beyondlinear.errors import ResultsError, SignalTestError
from beyondlinear.residual_test.test import ResidualTest
from beyondlinear.results import NUMERICS_VERSION, Store, now, read_json, write_json
from beyondlinear.scaling import fit_preparation
from beyondlinear.splits import Splitter
from beyondlinear.tasks import Samples

log = logging.getLogger(__name__)


def make_verdict(
    test: ResidualTest,
    config: dict[str, Any],
    names: dict[str, str],
    described: dict[str, Any],
    samples: Samples,
    splitter: Splitter,
    store: Store,
    directory: Path,
) -> dict[str, Any]:
    """Test the samples of a task in the folds of the split, print the verdict and write it to store and run directory.

    :raises SignalTestError: the split has no whole folds, or the test cannot be made
    """
    seed = config["seed"]
    folds = np.full(len(samples.codes), -1)
    for fold in splitter.outer(samples, seed):
        folds[fold.validation] = fold.number
    if (folds < 0).any() or splitter.pretrain_share is not None:
        raise SignalTestError(
            "the residual-prediction test needs every fold: leave split.only_folds null and do not pretrain"
        )
    known = f"{test}{described['fingerprint']}{folds.tobytes().hex()}{config['select']}{seed}{NUMERICS_VERSION}"
    key = hashlib.sha256(known.encode()).hexdigest()[:32]
    path = store.root / "tests" / f"{key}.json"
    if path.exists():
        record = read_json(path)
        log.info("this test was made before (%s)", path)
    else:
        everything = np.arange(len(samples.codes))
        top = config["select"]["top_variance"]
        x = fit_preparation(samples.x, everything, top_variance=top, scale="standardise").apply(samples.x, everything)
        units = label_units(samples.codes, samples.groups)[0]
        verdict = test.run(x, samples.codes, len(samples.classes), folds, units, seed, log.info)
        record = {"key": key, "seed": seed, "data": described, "verdict": verdict.as_dict()}
        record["circumstances"] = {"finished": now()} | circumstances()
        write_json(path, record)
    record |= {"names": names, "config": config}
    write_json(directory / f"test_{key}.json", record)
    print_verdicts([record], Console(width=None if sys.stdout.isatty() else 160))
    log.info("record: %s   this run: %s", path, directory)
    return record


def gather(directories: list[str]) -> list[dict[str, Any]]:
    """The verdicts of run and sweep directories.

    :raises ResultsError: a directory that does not exist or holds none
    """
    found: list[dict[str, Any]] = []
    for directory in map(Path, directories):
        records = [read_json(p) for p in sorted(directory.rglob("test_*.json"))]
        if not records:
            raise ResultsError(f"{directory} holds no residual-prediction test: make one by experiment=residual_test")
        found += records
    return found


def print_verdicts(records: list[dict[str, Any]], console: Console) -> None:
    names = ("dataset", "task", "control")
    table = Table(header_style="bold")
    for column in (*names, "seed", "linear log-loss", "of constant", "statistic", "observed", "null mean ± sd", "p"):
        table.add_column(column, justify="left" if column in (*names, "statistic") else "right")
    for r in records:
        v = r["verdict"]
        who = [*(r["names"][n] for n in names), str(r["seed"])]
        loss = [f"{v['linear_log_loss']:.3f}", f"{v['linear_log_loss'] / v['constant_log_loss']:.2f}"]
        if v["verdict"] == "redundant":
            table.add_row(*who, *loss, "redundant: the linear model leaves nothing to use", "–", "–", "–")
        for i, (name, s) in enumerate(v["statistics"].items()):
            lead = [*who, *loss] if i == 0 else [""] * (len(who) + len(loss))
            null = f"{s['null_mean']:.3f} ± {s['null_sd']:.3f}"
            table.add_row(*lead, name.replace("_", " "), f"{s['observed']:.3f}", null, f"{s['p_value']:.3f}")
    console.print(table)
    for r in records:
        console.print(conclusion(r), highlight=False, markup=False, soft_wrap=True)


def conclusion(record: dict[str, Any]) -> str:
    v = record["verdict"]
    where = f"{record['names']['dataset']}, {record['names']['task']}"
    if v["verdict"] == "redundant":
        return (
            f"{where}: redundant. The linear model's out-of-fold log-loss is {v['linear_log_loss']:.4f} "
            f"({v['constant_log_loss']:.4f} for a constant): it leaves nothing that another model could use."
        )
    found = (
        "there is signal that the linear model cannot use"
        if v["verdict"] == "signal beyond linear"
        else "no signal was found that the linear model cannot use; a weak one would go unnoticed (README: power)"
    )
    return f"{where}: {found} (p = {v['p_value']:.3f}, best of the statistics, {v['draws']} bootstrap draws)."
