"""What lies in run and sweep directories, read so that nothing is hidden: what is damaged, missing or never begun is named."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from beyondlinear import tables
from beyondlinear.errors import ResultsError
from beyondlinear.gathering import COUNTS, row
from beyondlinear.results import Store, read_json
from beyondlinear.sweeps.state import read_plan

# a variant of the data makes another panel, any other variant another learner
_OF_DATA = ("dataset.", "task.", "split.", "select.", "control.")
_BETWEEN_VARIANTS = re.compile(r", (?=[a-z_]+(?:\.[A-Za-z_0-9]+)*=)")
_HEAVY = ("traceback", "ledger", "config")  # of a record; the config of its run stands for its own


@dataclass(frozen=True)
class Problem:
    """kind: unreadable, missing, failed, skipped, gap or limit; count: of fits, where they can be counted."""

    kind: str
    text: str
    count: int | None = None


@dataclass
class Reading:
    """fits: one row a fit (`tables.COLUMNS`, panel, learner); records by key, stores by key; tests: residual-prediction tests;
    commands: as they were given; problems: what a reader must know is not there."""

    fits: pd.DataFrame
    records: dict[str, dict[str, Any]]
    stores: dict[str, Store]
    tests: list[dict[str, Any]]
    commands: list[str]
    problems: list[Problem] = field(default_factory=list)

    @property
    def done(self) -> pd.DataFrame:
        return self.fits[self.fits.status == "done"]


def read(directories: Sequence[str | Path], store: str | None = None) -> Reading:
    """All that directories hold.

    :param store: where the records are now, if they were moved since
    :raises ResultsError: a directory that does not exist, or nothing to report in any
    """
    found: dict[str, dict[str, Any]] = {}
    stores: dict[str, Store] = {}
    roots: dict[str, Store] = {}
    tests: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    commands: list[str] = []
    if store is not None and not Path(store).is_dir():
        raise ResultsError(f"--store {store} is not a directory")
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise ResultsError(f"{directory} is not a directory")
        lists = sorted(directory.rglob("fits_*.json"))
        for path in lists:
            _read_run(path, store, found, stores, roots, problems)
        for path in sorted(directory.rglob("test_*.json")):
            try:
                test = read_json(path)
                if not {"verdict", "names", "data", "key"} <= test.keys():
                    raise ResultsError(f"{path} is no residual-prediction test")
                tests[test["key"]] = test
            except ResultsError as e:
                problems.append(Problem("unreadable", str(e)))
        if not lists:
            records = Store(directory)
            keys = records.keys()
            for key in keys:
                record = _record(records, key, problems)
                if record is not None:
                    config = record.get("config", {})
                    found[record["key"]] = _light(record) | {"config": config}
                    stores[record["key"]] = records
        commands += _commands(directory, problems)
    if not found and not tests:
        unreadable = "; ".join(p.text for p in problems)
        raise ResultsError(
            f"nothing to report in {', '.join(map(str, directories))}: no fits and no residual-prediction tests. Give run or "
            f"sweep directories (outputs/runs/…, multirun/…) or a store of records{'. ' + unreadable if unreadable else ''}"
        )
    readable = {k: r for k, r in found.items() if _has_a_row(r, problems)}
    fits = with_panels(tables.as_table(list(readable.values())), readable)
    return Reading(fits, readable, stores, list(tests.values()), list(dict.fromkeys(commands)), problems)


def _read_run(
    path: Path,
    store: str | None,
    found: dict[str, Any],
    stores: dict[str, Store],
    roots: dict[str, Store],
    problems: list[Problem],
) -> None:
    try:
        run = read_json(path)
        root = store or run["store"]
        records = roots.setdefault(root, Store(root))  # one reads the index of its packs once
        fits, said = run["fits"], {k: run[k] for k in ("names", "config")}
    except (ResultsError, KeyError, TypeError) as e:
        problems.append(
            Problem("unreadable", f"the list of fits {path} cannot be read ({e}); its fits are not in this report")
        )
        return
    for fit in fits:
        unreadable = len(problems)
        record = _record(records, fit["key"], problems)
        status = "unreadable" if len(problems) > unreadable else "missing"
        found[fit["key"]] = _light(record or {**fit, "seed": run.get("seed"), "status": status}) | said
        stores[fit["key"]] = records


def _record(records: Store, key: str, problems: list[Problem]) -> dict[str, Any] | None:
    try:
        return records.get(key)
    except ResultsError as e:
        problems.append(Problem("unreadable", str(e), 1))
        return None


def _light(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in _HEAVY}


def _has_a_row(record: dict[str, Any], problems: list[Problem]) -> bool:
    try:
        made = row(record)
        for name in (*tables.METRICS, "fraction", *COUNTS):
            if not isinstance(made[name], int | float | None):
                raise TypeError(f"{name} is {made[name]!r}, which is no number")
        return True
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        text = (
            f"record {record.get('key')} is damaged ({type(e).__name__}: {e}); delete it and its fit will be made again"
        )
        problems.append(Problem("unreadable", text, 1))
        return False


def _commands(directory: Path, problems: list[Problem]) -> list[str]:
    """The commands that made the runs, and whether every run of a sweep was begun."""
    commands = []
    sweeps = sorted({p.parent for name in ("sweep.json", "multirun.yaml") for p in directory.rglob(name)})
    for sweep in sweeps:
        try:
            # what Hydra was given, rather than the words of one invocation: they may name an interpreter or a job
            hydra = yaml.safe_load((sweep / "multirun.yaml").read_text(encoding="utf-8"))["hydra"]["overrides"]
            commands.append(shlex.join(["python", "train.py", "-m", *map(str, [*hydra["task"], *hydra["hydra"]])]))
            planned = (read_plan(sweep) or {})["runs"]
            begun = {
                p.parent.name.rpartition("_")[2]
                for p in sweep.glob("*/*.json")
                if p.name.startswith(("fits_", "test_"))
            }
            lost = [run for run in planned if run["id"] not in begun]
        except (OSError, KeyError, TypeError, ResultsError, yaml.YAMLError) as e:
            text = f"{sweep}: what was planned cannot be read ({type(e).__name__}), so whether this sweep is whole is unknown"
            problems.append(Problem("limit", text))
            continue
        if lost:
            first = "; ".join(" ".join(run["overrides"]) for run in lost[:3])
            text = f"the sweep {sweep} has {len(planned):,} runs, of which {len(lost):,} were never begun, e.g. {first}"
            problems.append(Problem("gap", f"{text}; the same command makes them"))
    for path in sorted(directory.rglob(".hydra/overrides.yaml")):
        if any(sweep in path.parents for sweep in sweeps):
            continue
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        commands.append(shlex.join(["python", "train.py", *map(str, given)]))
    return commands


def _file(record: dict[str, Any]) -> tuple[str, str] | None:
    """Name and path of the expression table that a user gave, None for other data sets."""
    path = ((record.get("config") or {}).get("dataset") or {}).get("expression")
    return (Path(str(path)).name.split(".")[0], str(path)) if path else None


def with_panels(fits: pd.DataFrame, records: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Two columns more: panel, what is predicted in which data and how it is split; learner, the model and how it was set."""
    fits = fits.copy()
    if fits.empty:
        return fits.assign(panel=pd.Series(dtype=object), learner=pd.Series(dtype=object))
    varies = {c: fits[c].nunique(dropna=False) > 1 for c in ("task", "split", "protocol", "tuning", "pretrained")}
    classes = {k: tuple((r.get("data") or {}).get("classes") or ()) for k, r in records.items()}
    several = {
        name: len({classes[k] for k in group.key if classes[k]}) > 1
        for name, group in fits.groupby(["dataset", "task"])
    }
    files = {k: _file(r) for k, r in records.items()}
    paths: dict[str, set[str]] = {}
    for name, path in filter(None, files.values()):
        paths.setdefault(name, set()).add(path)
    panels, learners, settings = [], [], []
    for fit in fits.itertuples():
        variants = _BETWEEN_VARIANTS.split(fit.variant) if fit.variant else []
        of_data = [v for v in variants if v.startswith(_OF_DATA) and not v.startswith("control.")]
        panel, file = [str(fit.dataset)], files[fit.key]
        if file and len(paths[file[0]]) == 1:  # a user's own data go by the name of their file
            panel[0] = file[0]
            of_data = [v for v in of_data if not v.startswith(("dataset.expression=", "dataset.metadata="))]
        if varies["task"] or file:
            panel.append(str(fit.task))
        if several[fit.dataset, fit.task] and classes[fit.key]:
            names = classes[fit.key]
            panel.append(" / ".join(names) if len(names) <= 3 else f"{len(names)} classes")
            of_data = [v for v in of_data if not v.startswith("task.classes=")]
        if varies["split"]:
            panel.append(f"split {fit.split}")
        learner = [str(fit.model)]
        learner += [f"{c} {fit[c]}" for c in ("protocol", "tuning") if varies[c] and getattr(fit, c) != "none"]
        if varies["pretrained"] and fit.pretrained is not None and not pd.isna(fit.pretrained):
            learner.append("pretrained" if fit.pretrained else "not pretrained")
        panels.append(", ".join([*panel, *of_data]))
        learners.append(", ".join(learner))
        settings.append([v for v in variants if not v.startswith(_OF_DATA)])
    fits = fits.assign(panel=panels, learner=learners, settings=settings)
    for _, same in fits.groupby(
        ["panel", "learner"], sort=False
    ):  # what is set alike in all of them distinguishes none
        alike = set.intersection(*map(set, same.settings))
        for at in same.index:
            own = [v for v in fits.at[at, "settings"] if v not in alike]
            fits.at[at, "learner"] = ", ".join([fits.at[at, "learner"], *own])
    return fits.drop(columns="settings")
