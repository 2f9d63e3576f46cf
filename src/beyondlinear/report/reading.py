"""What lies in run and sweep directories, read so that nothing is hidden: what is damaged, missing
or never begun is named."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, cast

import pandas as pd
import yaml

from beyondlinear.records.columns import COUNTS, METRICS
from beyondlinear.records.gather import as_of_run, as_table, is_true, missing_record, row
from beyondlinear.records.record import FitRecord
from beyondlinear.records.run_list import RunList, read_run_list
from beyondlinear.records.run_state import read_plan
from beyondlinear.records.store import RecordStore
from beyondlinear.records.upgrade import upgrade_names
from beyondlinear.report import model_kinds
from beyondlinear.report.panels import with_panels
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import read_json

# of a record; the report needs none of them for each fit
_HEAVY = ("traceback", "row_usage")

# `test_<key>.json`, as evaluation/residual_test writes it
ResidualTestRecord: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class ReadingProblem:
    """Something that a reader must know is not there.

    kind: unreadable, missing, failed, skipped, gap or limit; count: of fits, where they can be
    counted.
    """

    kind: str
    text: str
    count: int | None = None


@dataclass
class GatheredFits:
    """All that a report is made of.

    fits: one row a fit (`records.columns.COLUMNS`, panel, learner, probabilities; linear, certified
    and probabilities are false where a record does not say); records by key, stores by key; tests:
    residual-prediction tests; commands: as they were given; problems: what a reader must know is
    not there.
    """

    fits: pd.DataFrame
    records: dict[str, FitRecord]
    stores: dict[str, RecordStore]
    tests: list[ResidualTestRecord]
    commands: list[str]
    problems: list[ReadingProblem] = field(default_factory=list)

    @property
    def done(self) -> pd.DataFrame:
        return self.fits[self.fits.status == "done"]

    @cached_property
    def colours(self) -> dict[str, str]:
        """Of every learner, the same in all figures."""
        return model_kinds.colours(self.done)

    def palette(self, fits: pd.DataFrame) -> dict[str, str]:
        """The colours of the learners among these fits."""
        return {learner: self.colours[learner] for learner in sorted(fits.learner.unique())}

    def leaks(self, fits: pd.DataFrame) -> int:
        """In how many of these fits the audit found a leak."""
        n_fits = 0
        for key in fits.key:
            findings = self.records[key].get("audit") or []
            n_fits += any(finding.get("severity") == "leak" for finding in findings)
        return n_fits


def read(directories: Sequence[str | Path], store: str | None = None) -> GatheredFits:
    """All that directories hold.

    :param store: where the records are now, if they were moved since
    :raises ResultsError: a directory that does not exist, or nothing to report in any
    """
    if store is not None and not Path(store).is_dir():
        raise ResultsError(f"--store {store} is not a directory")
    reader = _Reader(store)
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise ResultsError(f"{directory} is not a directory")
        reader.read(directory)
    if not reader.records and not reader.tests:
        why = "; ".join(problem.text for problem in reader.problems)
        raise ResultsError(
            f"nothing to report in {', '.join(map(str, directories))}: no fits and no"
            " residual-prediction tests. Give run or sweep directories (outputs/runs/…,"
            f" multirun/…) or a store of records{'. ' + why if why else ''}"
        )
    return reader.gathered()


class _Reader:
    """What was read so far."""

    def __init__(self, store: str | None) -> None:
        self._moved_store = store
        self._roots: dict[
            str, RecordStore
        ] = {}  # opened once: a store reads the index of its packs
        self.records: dict[str, FitRecord] = {}
        self.stores: dict[str, RecordStore] = {}
        self.tests: dict[str, ResidualTestRecord] = {}
        self.commands: list[str] = []
        self.problems: list[ReadingProblem] = []

    def read(self, directory: Path) -> None:
        lists = sorted(directory.rglob("fits_*.json"))
        for path in lists:
            self._read_run(path)
        for path in sorted(directory.rglob("test_*.json")):
            self._read_test(path)
        if not lists:
            self._read_store(RecordStore(directory))
        self.commands += commands(directory, self.problems)

    def gathered(self) -> GatheredFits:
        readable: dict[str, FitRecord] = {}
        for key, record in self.records.items():
            damage = _damage(record)
            if damage is None:
                readable[key] = record
            else:
                self.problems.append(ReadingProblem("unreadable", damage, 1))
        fits = _with_properties(as_table(list(readable.values())), readable)
        return GatheredFits(
            with_panels(fits, readable),
            readable,
            self.stores,
            list(self.tests.values()),
            list(dict.fromkeys(self.commands)),
            self.problems,
        )

    def _read_run(self, path: Path) -> None:
        try:
            run = read_run_list(path)
            root = self._moved_store or run["store"]
            records = self._roots.setdefault(root, RecordStore(root))
            keys = [fit["key"] for fit in run["fits"]]
        except (ResultsError, KeyError, TypeError) as e:
            text = f"the list of fits {path} cannot be read ({e}); its fits are not in this report"
            self.problems.append(ReadingProblem("unreadable", text))
            return
        for number, key in enumerate(keys):
            self.records[key] = _light(self._listed(run, number, records))
            self.stores[key] = records

    def _listed(self, run: RunList, number: int, records: RecordStore) -> FitRecord:
        fit = run["fits"][number]
        n_problems = len(self.problems)
        record = self._record(records, fit["key"])
        if record is not None:
            return as_of_run(record, run)
        absent = missing_record(fit, run)
        if len(self.problems) > n_problems:
            return cast(FitRecord, {**absent, "status": "unreadable"})
        return absent

    def _read_store(self, records: RecordStore) -> None:
        keys = records.keys()
        for key in keys:
            record = self._record(records, key)
            if record is not None:
                self.records[record["key"]] = _light(record)
                self.stores[record["key"]] = records

    def _record(self, records: RecordStore, key: str) -> FitRecord | None:
        try:
            return records.get(key)
        except ResultsError as e:
            self.problems.append(ReadingProblem("unreadable", str(e), 1))
            return None

    def _read_test(self, path: Path) -> None:
        try:
            test = read_json(path)
            if not {"verdict", "names", "data", "key"} <= test.keys():
                raise ResultsError(f"{path} is no residual-prediction test")
        except ResultsError as e:
            self.problems.append(ReadingProblem("unreadable", str(e)))
            return
        self.tests[test["key"]] = {**test, "names": upgrade_names(test["names"])}


def _light(record: FitRecord) -> FitRecord:
    return cast(FitRecord, {k: v for k, v in record.items() if k not in _HEAVY})


def _damage(record: FitRecord) -> str | None:
    """What is wrong with a record that is no row of a table, or None."""
    try:
        made = row(record)
        for column in (*METRICS, "fraction", *COUNTS):
            if not isinstance(made[column], int | float | None):
                raise TypeError(f"{column} is {made[column]!r}, which is no number")
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        return (
            f"record {record.get('key')} is damaged ({type(e).__name__}: {e}); delete it and its"
            " fit will be made again"
        )
    return None


def _with_properties(fits: pd.DataFrame, records: Mapping[str, FitRecord]) -> pd.DataFrame:
    """What models state about themselves, as plain booleans."""
    stated = [records[key].get("model") for key in fits.key]
    probabilities = [model is not None and bool(model.get("probabilities")) for model in stated]
    return fits.assign(
        linear=is_true(fits.linear),
        certified=is_true(fits.certified),
        probabilities=pd.Series(probabilities, index=fits.index, dtype=bool),
    )


def commands(directory: Path, problems: list[ReadingProblem]) -> list[str]:
    """The commands that made the runs; sweeps of which runs were never begun are named in
    `problems`."""
    found = []
    names = ("sweep.json", "multirun.yaml")
    sweeps = sorted({path.parent for name in names for path in directory.rglob(name)})
    for sweep in sweeps:
        try:
            found.append(_sweep_command(sweep))
            planned, lost = _runs_never_begun(sweep)
        except (OSError, KeyError, TypeError, ResultsError, yaml.YAMLError) as e:
            text = (
                f"{sweep}: what was planned cannot be read ({type(e).__name__}), so whether this"
                " sweep is whole is unknown"
            )
            problems.append(ReadingProblem("limit", text))
            continue
        if lost:
            text = (
                f"the sweep {sweep} has {planned:,} runs, of which {len(lost):,} were never"
                f" begun, e.g. {'; '.join(lost[:3])}; the same command makes them"
            )
            problems.append(ReadingProblem("gap", text))
    for path in sorted(directory.rglob(".hydra/overrides.yaml")):
        if any(sweep in path.parents for sweep in sweeps):
            continue
        overrides = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        found.append(shlex.join(["python", "train.py", *map(str, overrides)]))
    return found


def _sweep_command(sweep: Path) -> str:
    """What Hydra was given, rather than the words of one invocation: they may name an interpreter
    or a job."""
    config = yaml.safe_load((sweep / "multirun.yaml").read_text(encoding="utf-8"))
    overrides = config["hydra"]["overrides"]
    words = [*overrides["task"], *overrides["hydra"]]
    return shlex.join(["python", "train.py", "-m", *map(str, words)])


def _runs_never_begun(sweep: Path) -> tuple[int, list[str]]:
    """How many runs were planned, and the overrides of each that wrote nothing."""
    plan = read_plan(sweep)
    if plan is None:
        raise ResultsError(f"{sweep} holds no sweep.json")
    planned = plan["runs"]
    begun = set()
    for path in sweep.glob("*/*.json"):
        if path.name.startswith(("fits_", "test_")):
            begun.add(path.parent.name.rpartition("_")[2])
    return len(planned), [" ".join(run["overrides"]) for run in planned if run["id"] not in begun]
