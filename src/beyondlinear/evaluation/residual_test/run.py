"""The residual-prediction test as a run: on the samples, groups and folds of a config, with a
record of its own."""

import hashlib
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
from rich.console import Console
from rich.table import Table

from beyondlinear.data.scaling import fit_preparation
from beyondlinear.evaluation.residual_test.test import ResidualTest
from beyondlinear.records.record import DataRecord
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError, SignalTestError
from beyondlinear.runtime.files import now, read_json, write_json
from beyondlinear.runtime.provenance import NUMERICS_VERSION, provenance
from beyondlinear.tasks.controls import label_units
from beyondlinear.tasks.splits import Splitter
from beyondlinear.tasks.task import Samples

log = logging.getLogger(__name__)


class ResidualTestRecord(TypedDict):
    """One residual-prediction test, as it lies in the store and in a run's directory."""

    key: str  # hash of all that determines the test
    seed: int
    data: DataRecord
    verdict: dict[str, Any]  # the fields of ResidualTestResult
    provenance: dict[str, Any]  # when it was finished, and the fields of Provenance
    names: Mapping[str, str]  # group → choice, of the run that asked for it
    config: Mapping[str, Any]  # of that run


def make_residual_test(
    test: ResidualTest,
    config: Mapping[str, Any],
    names: Mapping[str, str],
    data: DataRecord,
    samples: Samples,
    splitter: Splitter,
    store: RecordStore,
    directory: Path,
) -> ResidualTestRecord:
    """Test the samples of a task in the folds of the split, print the verdict and write it to store
    and run directory. A test that the store holds is not repeated.

    :param config: composed and resolved; `select` and `seed` count
    :param directory: the run's
    :raises SignalTestError: the split has no whole folds, or the test cannot be made
    """
    folds = fold_of_rows(splitter, samples, config["seed"])
    key = _key(test, data["fingerprint"], folds, config)
    path = store.root / "tests" / f"{key}.json"
    if path.exists():
        content = read_json(path)
        log.info("this test was made before (%s)", path)
    else:
        content = {
            "key": key,
            "seed": config["seed"],
            "data": data,
            "verdict": _result(test, samples, folds, config),
            "provenance": {"finished": now(), **provenance()},
        }
        write_json(path, content)
    record = cast(ResidualTestRecord, {**content, "names": names, "config": config})
    write_json(directory / f"test_{key}.json", record)
    print_verdicts([record], Console(width=None if sys.stdout.isatty() else 160))
    log.info("record: %s   this run: %s", path, directory)
    return record


def fold_of_rows(splitter: Splitter, samples: Samples, seed: int) -> np.ndarray:
    """(n_samples,) number of the fold that each sample is in the test part of.

    :raises SignalTestError: a sample that is in none
    """
    folds = np.full(len(samples.codes), -1)
    for fold in splitter.outer(samples, seed):
        folds[fold.test] = fold.number
    if (folds < 0).any() or splitter.pretrain_share is not None:
        raise SignalTestError(
            "the residual-prediction test needs every fold: leave split.only_folds null and do not"
            " pretrain"
        )
    return folds


def _key(test: ResidualTest, fingerprint: str, folds: np.ndarray, config: Mapping[str, Any]) -> str:
    data = f"{fingerprint}{folds.tobytes().hex()}{config['select']}"
    text = f"{test}{data}{config['seed']}{NUMERICS_VERSION}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _result(
    test: ResidualTest, samples: Samples, folds: np.ndarray, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the test on the expression standardised over all samples, which needs no label."""
    everything = np.arange(len(samples.codes))
    n_genes = config["select"]["top_variance"]
    preparation = fit_preparation(samples.x, everything, top_variance=n_genes, scale="standardise")
    x = preparation.apply(samples.x, everything)
    units = label_units(samples.codes, samples.groups)[0]
    n_classes = len(samples.classes)
    result = test.run(x, samples.codes, n_classes, folds, units, config["seed"], log.info)
    return result.as_dict()


def gather(directories: Sequence[str]) -> list[ResidualTestRecord]:
    """The tests of run and sweep directories.

    :raises ResultsError: a directory that does not exist or holds none
    """
    gathered: list[ResidualTestRecord] = []
    for directory in map(Path, directories):
        records = [read_json(path) for path in sorted(directory.rglob("test_*.json"))]
        if not records:
            raise ResultsError(
                f"{directory} holds no residual-prediction test: make one by"
                " `beyondlinear test KEY=VALUE …`"
            )
        gathered += cast(list[ResidualTestRecord], records)
    return gathered


def print_verdicts(records: Sequence[ResidualTestRecord], console: Console) -> None:
    """A table with a row for each statistic of each test, and a sentence for each test."""
    table = Table(header_style="bold")
    for column in ("dataset", "task", "control"):
        table.add_column(column)
    for column in ("seed", "linear log-loss", "of constant"):
        table.add_column(column, justify="right")
    table.add_column("statistic")
    for column in ("observed", "null mean ± sd", "p"):
        table.add_column(column, justify="right")
    for record in records:
        for row in _rows(record):
            table.add_row(*row)
    console.print(table)
    for record in records:
        console.print(conclusion(record), highlight=False, markup=False, soft_wrap=True)


def _rows(record: ResidualTestRecord) -> list[list[str]]:
    """The rows of one test; what is the same in all of them stands in the first."""
    names, verdict = record["names"], record["verdict"]
    loss = verdict["linear_log_loss"]
    of_test = [
        names["dataset"],
        names["task"],
        names["control"],
        str(record["seed"]),
        f"{loss:.3f}",
        f"{loss / verdict['constant_log_loss']:.2f}",
    ]
    if verdict["verdict"] == "redundant":
        return [[*of_test, "redundant: the linear model leaves nothing to use", "–", "–", "–"]]
    rows = []
    for name, statistic in verdict["statistics"].items():
        null = f"{statistic['null_mean']:.3f} ± {statistic['null_sd']:.3f}"
        observed = f"{statistic['observed']:.3f}"
        p_value = f"{statistic['p_value']:.3f}"
        rows.append([*of_test, name.replace("_", " "), observed, null, p_value])
        of_test = [""] * len(of_test)
    return rows


def conclusion(record: ResidualTestRecord) -> str:
    """What the test says, in one sentence."""
    verdict = record["verdict"]
    of_what = f"{record['names']['dataset']}, {record['names']['task']}"
    if verdict["verdict"] == "redundant":
        return (
            f"{of_what}: redundant. The linear model's out-of-fold log-loss is"
            f" {verdict['linear_log_loss']:.4f} ({verdict['constant_log_loss']:.4f} for a"
            " constant): it leaves nothing that another model could use."
        )
    sentence = (
        "no signal was found that the linear model cannot use; a weak one would go unnoticed"
        " (README: power)"
    )
    if verdict["verdict"] == "signal beyond linear":
        sentence = "there is signal that the linear model cannot use"
    return (
        f"{of_what}: {sentence} (p = {verdict['p_value']:.3f}, best of the statistics,"
        f" {verdict['draws']} bootstrap draws)."
    )
