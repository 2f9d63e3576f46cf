"""Which runs of recount3: metadata first, so that only matrices that are needed are downloaded."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from beyondlinear.data.download import Mirrors, MissingFileError
from beyondlinear.data.downloads import fetch_all
from beyondlinear.data.gene_lines import DamagedFileError
from beyondlinear.data.recount3_tree import (
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
from beyondlinear.errors import DataError

log = logging.getLogger(__name__)

OnMissing = Literal["error", "skip"]


@dataclass
class Runs:
    """obs: (n_runs,) indexed by run id, sorted by project and run; column `project` says whose matrix holds it.

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
    said: Callable[[str], None],
) -> Runs:
    """Runs with their metadata; of single cells, without metadata or (with a label asked for) without label they are dropped.

    :param label: "tissue" or "sex": only runs that carry it, and only their studies' files are read; None: all
    :param sex: reported sex by run id
    :raises MissingFileError: a table that no mirror has, unless on_missing is "skip"
    :raises DataError: no run is left
    """
    index = read(mirrors, tree.index, lambda path: read_index(path))
    projects = sorted(index["project"].unique())
    said(f"recount3: {len(index):,} runs in {len(projects):,} studies")
    runs = Runs(index)
    if label == "sex":
        assert sex is not None
        known = index["external_id"].isin(sex.index)
        runs.dropped["without sex"] += int((~known).sum())
        index = index[known]
        projects = sorted(index["project"].unique())
    tables = {"recount_pred": _tables(runs, mirrors, tree, "recount_pred", projects, on_missing, workers)}
    if label == "tissue":
        labelled = tables["recount_pred"].dropna(subset=["tissue"])
        keys = set(zip(*(labelled[k] for k in KEYS), strict=True))
        with_label = pd.Series([key in keys for key in zip(*(index[k] for k in KEYS), strict=True)], index=index.index)
        projects = sorted(index["project"][with_label].unique())
    for name in ("sra", "recount_qc"):
        tables[name] = _tables(runs, mirrors, tree, name, projects, on_missing, workers)
    obs = _merge(runs, index, tables, label, sex)
    if label is not None:
        bare = obs[label].isna()
        runs.dropped[f"without {label}"] += int(bare.sum())
        obs = obs[~bare]
    if obs.empty:
        raise DataError(
            f"recount3: no run is left of {len(runs.obs):,} ({', '.join(f'{n:,} {why}' for why, n in runs.dropped.items())})"
            + ("; dataset.scope=all takes runs without a label too" if label else "")
        )
    runs.obs = obs.sort_values(["project", "run"]).set_index("run")
    return runs


def read(mirrors: Mirrors, relative: str, reader):  # type: ignore[no-untyped-def]
    """A file through its reader; one that turns out to be damaged is downloaded once more."""
    path = mirrors.fetch(relative)
    try:
        return reader(path)
    except DamagedFileError:
        if not mirrors.discard(path):
            raise
        log.info("%s is damaged and is downloaded again", relative)
        return reader(mirrors.fetch(relative))


def _tables(
    runs: Runs, mirrors: Mirrors, tree: Tree, name: str, projects: list[str], on_missing: OnMissing, workers: int
) -> pd.DataFrame:
    """One kind of metadata of many studies; a study that has no such file has no such metadata."""
    paths = {tree.metadata(project, name): project for project in projects}
    found, missing = fetch_all(mirrors, list(paths), workers, f"{name} of studies")
    # sra must exist where a study does; predictions and quality may be lacking
    runs.missing |= missing if name == "sra" else {}
    if missing and name == "sra" and on_missing == "error":
        raise _missing(missing)
    columns = [*KEYS, *WANTED[name].values()]
    # thousands of small tables: those with one header are parsed as one
    by_header: dict[str, list[str]] = defaultdict(list)
    for relative in sorted(found):
        header, _, rows = read(mirrors, relative, table_text).partition("\n")
        by_header[header].append(rows)
    tables = [wanted_columns(parse_table(h + "\n" + "".join(rows), name), name) for h, rows in by_header.items()]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns) if tables else pd.DataFrame(columns=columns)


def _missing(missing: dict[str, str]) -> MissingFileError:
    first = next(iter(missing.values()))
    return MissingFileError(
        f"{len(missing):,} files could not be had, the first: {first}\nThe same command tries again; "
        "dataset.on_missing=skip goes "
        "on without them and names them"
    )


def _merge(
    runs: Runs, index: pd.DataFrame, tables: dict[str, pd.DataFrame], label: str | None, sex: pd.Series | None
) -> pd.DataFrame:
    """One row a run, with all its studies; runs that must not be used are counted and left out."""
    obs = index
    for name in ("recount_pred", "sra", "recount_qc"):
        table = tables[name].drop_duplicates(KEYS)
        obs = obs.merge(table, on=KEYS, how="left", indicator=f"in_{name}", validate="many_to_one")
    obs = obs.rename(columns={"external_id": "run"}).sort_values(["run", "project"])
    types = obs[["curated_type", "predicted_type", "type"]]
    obs["single"] = types.apply(lambda column: column.str.lower().eq(SINGLE_CELL)).any(axis=1)
    obs["known"] = obs["in_recount_pred"].eq("both") if label == "tissue" else obs["in_sra"].eq("both")
    obs["described"] = obs["in_sra"].eq("both")
    obs = _once(runs, obs.drop(columns=[c for c in obs if c.startswith("in_")]))
    left = pd.Series(True, index=obs.index)
    for why, which in (
        ("without prediction (recount_pred)" if label == "tissue" else "without metadata", ~obs["known"]),
        ("of contradictory tissue in several studies", obs["clash"]),
        # with a tissue asked for, the other tables of studies without one were not read at all
        ("without tissue", obs["tissue"].isna() if label == "tissue" else ~left),
        ("of single cells", obs["single"]),
        ("without metadata", ~obs["described"]),
    ):
        runs.dropped[why] += int((left & which).sum())
        left &= ~which
    obs = obs[left].drop(columns=["known", "clash", "single", "described"])
    for column in NUMBERS:
        obs[column] = pd.to_numeric(obs[column], errors="coerce")
    obs["sex"] = obs["run"].map(sex) if sex is not None else None
    # a run without biosample or experiment is one by itself
    for column in ("biosample", "experiment"):
        obs[column] = obs[column].fillna(obs["run"])
        obs["study"] = _with_all_studies(obs["study"], obs[column])
    return obs


def _once(runs: Runs, obs: pd.DataFrame) -> pd.DataFrame:
    """Runs that stand in several studies as one row: all studies, what any of them tells, the matrix of the first described.

    :returns: with the column `clash`, true where the studies name different tissues
    """
    repeated = obs["run"].duplicated(keep=False)
    obs = obs.assign(clash=False)
    if not repeated.any():
        return obs
    rows = obs[repeated].sort_values(["run", "described", "project"], ascending=[True, False, True])
    several = rows.groupby("run", sort=True)
    one = several.first().reset_index()
    for column in ("single", "known", "described"):
        one[column] = several[column].any().to_numpy()
    one["study"] = several["study"].agg(lambda s: ";".join(sorted(set(s)))).to_numpy()
    one["clash"] = (several["tissue"].nunique() > 1).to_numpy()
    runs.dropped["repeated in another study (kept once, with both as groups)"] += len(rows) - len(one)
    return pd.concat([obs[~repeated], one[obs.columns]], ignore_index=True)


def _with_all_studies(study: pd.Series, sample: pd.Series) -> pd.Series:
    """Studies that share a biosample become one group: each of its runs names them all ("A;B")."""
    several = study.groupby(sample).transform("nunique") > 1
    together = (
        study[several]
        .str.split(";")
        .groupby(sample[several])
        .agg(lambda s: ";".join(sorted({w for ws in s for w in ws})))
    )
    return study.mask(several, sample.map(together))
