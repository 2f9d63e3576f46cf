"""Which runs of recount3: metadata first, so that only matrices that are needed are downloaded."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd

from beyondlinear.data.download.mirrors import Mirrors, MissingFileError
from beyondlinear.data.download.parallel import fetch_all
from beyondlinear.data.gene_table import DamagedFileError
from beyondlinear.data.recount3.tree import (
    KEYS,
    NUMBERS,
    SINGLE_CELL,
    WANTED,
    Tree,
    parse_table,
    read_index,
    table_text,
    wanted_columns,
)
from beyondlinear.runtime.errors import DataError

log = logging.getLogger(__name__)

OnMissing = Literal["error", "skip"]
Content = TypeVar("Content")


@dataclass
class Runs:
    """obs: (n_runs,) indexed by run id, sorted by project and run; column `project` says whose
    matrix holds it.

    dropped: numbers of runs by reason; missing: files that no mirror has.
    """

    obs: pd.DataFrame
    dropped: Counter[str] = field(default_factory=Counter)
    missing: dict[str, str] = field(default_factory=dict)


def find_runs(
    mirrors: Mirrors,
    tree: Tree,
    label: str | None,
    sex: pd.Series | None,
    on_missing: OnMissing,
    workers: int,
    report: Callable[[str], None],
) -> Runs:
    """Runs with their metadata; of single cells, without metadata or (with a label asked for)
    without label they are dropped.

    :param label: "tissue" or "sex": only runs that carry it, and only their studies' files are
        read; None: all
    :param sex: reported sex by run id
    :param report: called with a line of progress
    :raises MissingFileError: a table that no mirror has, unless on_missing is "skip"
    :raises DataError: no run is left
    """
    index = read(mirrors, tree.index, read_index)
    projects = sorted(index["project"].unique())
    report(f"recount3: {len(index):,} runs in {len(projects):,} studies")
    runs = Runs(index)
    if label == "sex":
        assert sex is not None
        known = index["external_id"].isin(sex.index)
        runs.dropped["without sex"] += int((~known).sum())
        index = index[known]
        projects = sorted(index["project"].unique())
    predictions = _tables(runs, mirrors, tree, "recount_pred", projects, on_missing, workers)
    if label == "tissue":
        labelled = predictions.dropna(subset=["tissue"])
        with_label = pd.MultiIndex.from_frame(index[KEYS]).isin(
            pd.MultiIndex.from_frame(labelled[KEYS])
        )
        projects = sorted(index["project"][with_label].unique())
    tables = {"recount_pred": predictions}
    for name in ("sra", "recount_qc"):
        tables[name] = _tables(runs, mirrors, tree, name, projects, on_missing, workers)
    obs = _merge(runs, index, tables, label, sex)
    if label is not None:
        unlabelled = obs[label].isna()
        runs.dropped[f"without {label}"] += int(unlabelled.sum())
        obs = obs[~unlabelled]
    if obs.empty:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in runs.dropped.items())
        remedy = "; dataset.scope=all takes runs without a label too" if label else ""
        raise DataError(f"recount3: no run is left of {len(runs.obs):,} ({reasons}){remedy}")
    runs.obs = obs.sort_values(["project", "run"]).set_index("run")
    return runs


def read(mirrors: Mirrors, relative: str, reader: Callable[[Path], Content]) -> Content:
    """A file through its reader; one that turns out to be damaged is downloaded once more.

    :raises MissingFileError: no mirror has the file
    :raises DamagedFileError: it is damaged again, or it is the user's own
    """
    path = mirrors.fetch(relative)
    try:
        return reader(path)
    except DamagedFileError:
        if not mirrors.discard(path):
            raise
        log.info("%s is damaged and is downloaded again", relative)
        return reader(mirrors.fetch(relative))


def _tables(
    runs: Runs,
    mirrors: Mirrors,
    tree: Tree,
    name: str,
    projects: list[str],
    on_missing: OnMissing,
    workers: int,
) -> pd.DataFrame:
    """One kind of metadata of many studies; a study that has no such file has no such metadata.

    :raises MissingFileError: an sra table that no mirror has, unless on_missing is "skip"
    """
    paths = [tree.metadata(project, name) for project in projects]
    found, missing = fetch_all(mirrors, paths, workers, f"{name} of studies")
    # sra must exist where a study does; predictions and quality may be lacking
    if name == "sra":
        runs.missing |= missing
        if missing and on_missing == "error":
            raise _missing(missing)
    columns = [*KEYS, *WANTED[name].values()]
    # thousands of small tables: those with one header are parsed as one
    rows_by_header: dict[str, list[str]] = defaultdict(list)
    for relative in sorted(found):
        header, _, rows = read(mirrors, relative, table_text).partition("\n")
        rows_by_header[header].append(rows)
    if not rows_by_header:
        return pd.DataFrame(columns=columns)
    tables = []
    for header, texts in rows_by_header.items():
        table = parse_table(header + "\n" + "".join(texts), name)
        tables.append(wanted_columns(table, name))
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)


def _missing(missing: dict[str, str]) -> MissingFileError:
    first = next(iter(missing.values()))
    return MissingFileError(
        f"{len(missing):,} files were not found, the first: {first}\nThe same command tries"
        " again; dataset.on_missing=skip goes on without them and names them"
    )


def _merge(
    runs: Runs,
    index: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    label: str | None,
    sex: pd.Series | None,
) -> pd.DataFrame:
    """One row a run, with all its studies; runs that must not be used are counted and left out."""
    obs = index
    for name in ("recount_pred", "sra", "recount_qc"):
        table = tables[name].drop_duplicates(KEYS)
        obs = obs.merge(table, on=KEYS, how="left", indicator=f"in_{name}", validate="many_to_one")
    obs = obs.rename(columns={"external_id": "run"}).sort_values(["run", "project"])
    types = obs[["curated_type", "predicted_type", "type"]].astype(object)
    types = types.where(types.notna(), "")
    obs["single"] = types.apply(lambda column: column.str.lower().eq(SINGLE_CELL)).any(axis=1)
    obs["predicted"] = obs["in_recount_pred"].eq("both")
    obs["described"] = obs["in_sra"].eq("both")
    obs = _once(runs, obs.drop(columns=["in_recount_pred", "in_sra", "in_recount_qc"]))
    # with a tissue asked for, the other tables of studies without one were not read at all
    reasons = {
        "without metadata": ~obs["described"],
        "of contradictory tissue in several studies": obs["clash"],
        "of single cells": obs["single"],
    }
    if label == "tissue":
        reasons = {
            "without prediction (recount_pred)": ~obs["predicted"],
            "of contradictory tissue in several studies": obs["clash"],
            "without tissue": obs["tissue"].isna(),
            "of single cells": obs["single"],
            "without metadata": ~obs["described"],
        }
    usable = pd.Series(True, index=obs.index)
    for reason, excluded in reasons.items():
        runs.dropped[reason] += int((usable & excluded).sum())
        usable &= ~excluded
    obs = obs[usable].drop(columns=["predicted", "clash", "single", "described"])
    for column in NUMBERS:
        obs[column] = pd.to_numeric(obs[column], errors="coerce")
    obs["sex"] = obs["run"].map(sex) if sex is not None else None
    # a run without biosample or experiment is one by itself
    for column in ("biosample", "experiment"):
        obs[column] = obs[column].fillna(obs["run"])
        obs["study"] = _with_all_studies(obs["study"], obs[column])
    return obs


def _once(runs: Runs, obs: pd.DataFrame) -> pd.DataFrame:
    """Runs that stand in several studies as one row: all studies, what any of them tells, the
    matrix of the first described.

    :returns: with the column `clash`, true where the studies name different tissues
    """
    repeated = obs["run"].duplicated(keep=False)
    obs = obs.assign(clash=False)
    if not repeated.any():
        return obs
    rows = obs[repeated].sort_values(["run", "described", "project"], ascending=[True, False, True])
    by_run = rows.groupby("run", sort=True)
    one = by_run.first().reset_index()
    for column in ("single", "predicted", "described"):
        one[column] = by_run[column].any().to_numpy()
    one["study"] = by_run["study"].agg(lambda names: ";".join(sorted(set(names)))).to_numpy()
    one["clash"] = (by_run["tissue"].nunique() > 1).to_numpy()
    n_surplus = len(rows) - len(one)
    runs.dropped["repeated in another study (kept once, with both as groups)"] += n_surplus
    return pd.concat([obs[~repeated], one[obs.columns]], ignore_index=True)


def _with_all_studies(study: pd.Series, sample: pd.Series) -> pd.Series:
    """Studies that share a biosample become one group: each of its runs names them all ("A;B").

    :param study: (n_runs,) str, names joined by ";"; sample: (n_runs,) biosample or experiment
    """
    several = study.groupby(sample).transform("nunique") > 1
    names = study[several].str.split(";").explode()
    joined = names.groupby(sample[several].loc[names.index]).agg(
        lambda some: ";".join(sorted(set(some)))
    )
    return study.mask(several, sample.map(joined))
