"""What a fit is shown under: panel, what is predicted in which data and how it is split; learner,
the model and how it was set."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pandas as pd

from beyondlinear.records.record import FitRecord

# a variant of the data makes another panel, any other variant another learner
_OF_DATA = ("dataset.", "task.", "split.", "select.", "control.")
_BETWEEN_VARIANTS = re.compile(r", (?=[a-z_]+(?:\.[A-Za-z_0-9]+)*=)")


def with_panels(fits: pd.DataFrame, records: Mapping[str, FitRecord]) -> pd.DataFrame:
    """Two columns more, `panel` and `learner`.

    :param fits: the table of fits (`records.gather.as_table`)
    :param records: by the key of the fit
    """
    if fits.empty:
        return fits.assign(panel=pd.Series(dtype=object), learner=pd.Series(dtype=object))
    names = _Names(fits, records)
    panels, learners, settings = [], [], []
    for fit in fits.itertuples():
        variants = _BETWEEN_VARIANTS.split(fit.variant) if fit.variant else []
        panels.append(names.panel(fit, [v for v in variants if v.startswith(_OF_DATA)]))
        learners.append(names.learner(fit))
        settings.append([v for v in variants if not v.startswith(_OF_DATA)])
    fits = fits.assign(panel=panels, learner=learners, settings=settings)
    fits["learner"] = _with_settings(fits)
    return fits.drop(columns="settings")


def _with_settings(fits: pd.DataFrame) -> pd.Series:
    """Learners with the settings that tell them apart: what is set alike in all fits of a panel and
    learner distinguishes none."""
    learners = fits.learner.copy()
    for _, group in fits.groupby(["panel", "learner"], sort=False):
        alike = set.intersection(*map(set, group.settings))
        for index, settings in group.settings.items():
            own = [setting for setting in settings if setting not in alike]
            learners[index] = ", ".join([learners[index], *own])
    return learners


class FitRow(Protocol):
    """A row of the table of fits, as `itertuples` gives it."""

    key: str
    dataset: str
    task: str
    split: str
    model: str
    protocol: str
    tuning: str
    pretrained: bool | None


class _Names:
    """How fits are named: with what varies between them, and nothing that is the same in all."""

    def __init__(self, fits: pd.DataFrame, records: Mapping[str, FitRecord]) -> None:
        columns = ("task", "split", "protocol", "tuning", "pretrained")
        self._varies = {c: fits[c].nunique(dropna=False) > 1 for c in columns}
        self._classes = {key: _classes(record) for key, record in records.items()}
        self._files = {key: _own_file(record) for key, record in records.items()}
        # one name may be that of files in several folders
        self._paths: dict[str, set[str]] = {}
        for file in self._files.values():
            if file is not None:
                name, path = file
                self._paths.setdefault(name, set()).add(path)
        self._classes_vary = {}
        for task, group in fits.groupby(["dataset", "task"]):
            lists = {self._classes[key] for key in group.key if self._classes[key]}
            self._classes_vary[task] = len(lists) > 1

    def panel(self, fit: FitRow, of_data: list[str]) -> str:
        """:param of_data: settings of the data in which fits differ"""
        of_data = [setting for setting in of_data if not setting.startswith("control.")]
        parts = [str(fit.dataset)]
        file = self._files[fit.key]
        if file is not None and len(self._paths[file[0]]) == 1:
            # a user's own data go by the name of their file
            parts = [file[0]]
            said = ("dataset.expression=", "dataset.metadata=")
            of_data = [setting for setting in of_data if not setting.startswith(said)]
        if self._varies["task"] or file is not None:
            parts.append(str(fit.task))
        classes = self._classes[fit.key]
        if self._classes_vary[fit.dataset, fit.task] and classes:
            parts.append(" / ".join(classes) if len(classes) <= 3 else f"{len(classes)} classes")
            of_data = [s for s in of_data if not s.startswith("task.classes=")]
        if self._varies["split"]:
            parts.append(f"split {fit.split}")
        return ", ".join([*parts, *of_data])

    def learner(self, fit: FitRow) -> str:
        parts = [str(fit.model)]
        if self._varies["protocol"] and fit.protocol != "none":
            parts.append(f"protocol {fit.protocol}")
        if self._varies["tuning"] and fit.tuning != "none":
            parts.append(f"tuning {fit.tuning}")
        known = fit.pretrained is not None and not pd.isna(fit.pretrained)
        if self._varies["pretrained"] and known:
            parts.append("pretrained" if fit.pretrained else "not pretrained")
        return ", ".join(parts)


def _classes(record: FitRecord) -> tuple[str, ...]:
    return tuple((record.get("data") or {}).get("classes") or ())


def _own_file(record: FitRecord) -> tuple[str, str] | None:
    """Name and path of the expression table that a user gave, None for other data sets."""
    dataset = (record.get("config") or {}).get("dataset") or {}
    path = dataset.get("expression")
    if not path:
        return None
    return Path(str(path)).name.split(".")[0], str(path)
