"""How far the group alone says the label: what a split by group can and cannot test on these samples."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from beyondlinear.errors import SplitError

SHOWN = 10  # classes named in a report
FEWEST = 2  # groups of a class, one to train on and one to hold out


@dataclass(frozen=True)
class ClassInGroups:
    """effective_groups: 1/Σ_g p_g² with p_g the share of the class's samples in group g (Kish; Hill number of order 2);
    it equals n_groups where all hold as many, and is near 1 where one group holds nearly all."""

    n_samples: int
    n_groups: int
    effective_groups: float


@dataclass(frozen=True)
class Confounding:
    """cramers_v: association of group and label, from 0 (none) to 1 (the group gives the label away).
    cramers_v_corrected: without what groups of few samples give by chance, which drives the plain one to 1.
    classes_per_group: mean number; one_class_groups: share of groups that hold one class only.
    """

    cramers_v: float
    cramers_v_corrected: float
    n_groups: int
    classes_per_group: float
    one_class_groups: float
    classes: dict[str, ClassInGroups]

    def summary(self) -> dict[str, Any]:
        """As plain numbers, for a record."""
        return asdict(self)

    def rests_on_few(self, folds: int | None) -> list[str]:
        """Classes in fewer groups than folds, the fewest first. `folds` None (one group left out): in one group."""
        few = [c for c, inside in self.classes.items() if inside.n_groups < (folds or FEWEST)]
        return sorted(few, key=lambda c: self.classes[c].n_groups)

    def report(self, folds: int | None) -> str:
        """What to print before a run, in lines; empty where no class rests on few groups."""
        few, n_folds = self.rests_on_few(folds), folds or FEWEST
        if not few:
            return ""
        lines = [
            f"group and label: Cramér's V {self.cramers_v_corrected:.2f} corrected for chance, {self.cramers_v:.2f} plain "
            "(0: the group says nothing about the label, 1: it gives the label away)",
            f"{self.n_groups:,} groups, {self.classes_per_group:.1f} classes in a group on average; "
            f"{self.one_class_groups:.0%} of the groups hold one class only",
        ]
        for name in few[:SHOWN]:
            inside = self.classes[name]
            where = f"class '{name}' ({_n(inside.n_samples, 'sample')}) lies in {_n(inside.n_groups, 'group')}"
            if inside.n_groups == 1:
                lines.append(f"{where} only: no split can hold it out and train on it")
            else:
                lines.append(
                    f"{where}, as good as {inside.effective_groups:.1f} equal ones: {_consequence(inside.n_groups, n_folds)}"
                )
        if len(few) > SHOWN:
            lines.append(f"… and {_n(len(few) - SHOWN, 'class')} more in fewer groups than folds")
        lines.append("task.min_groups_per_class or task.classes leaves such classes out")
        return "\n".join(lines)


def _consequence(n_groups: int, n_folds: int) -> str:
    if n_groups == 2:
        return "with one held out, one is left, which cannot be in both the fit and the tune part"
    return f"at least {n_folds - n_groups} of {n_folds} folds hold none of it for validation"


def confounding(codes: np.ndarray, groups: np.ndarray, classes: list[str]) -> Confounding | None:
    """How a task's labels lie in its groups; None where every sample is a group of its own, or all are one.

    Cramér's V is √(φ²/min(r − 1, k − 1)) with φ² = χ²/n over r groups and k classes. The corrected one follows Bergsma
    (2013), J. Korean Stat. Soc. 42:323: φ̃² = max(0, φ² − (r − 1)(k − 1)/(n − 1)), r̃ = r − (r − 1)²/(n − 1), k̃ likewise.
    :param codes: (n,) int64, positions in `classes`; groups: (n,) int64
    """
    table = _table(codes, groups, len(classes))
    n, r = int(table.sum()), len(table)
    present = table.sum(0) > 0
    k = int(present.sum())
    if r == n or r < 2 or k < 2:
        return None
    observed = table[:, present]
    expected = np.outer(observed.sum(1), observed.sum(0)) / n
    phi2 = float(((observed - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    per_group = (table > 0).sum(1)
    inside = {
        name: ClassInGroups(int(c.sum()), int((c > 0).sum()), float(c.sum() ** 2 / (c**2).sum()))
        for name, c, here in zip(classes, table.T, present, strict=True)
        if here
    }
    return Confounding(
        cramers_v=float(np.sqrt(phi2 / (min(r, k) - 1))),
        cramers_v_corrected=float(np.sqrt(corrected / smaller)) if smaller > 0 else 0.0,  # as many classes as samples
        n_groups=r,
        classes_per_group=float(per_group.mean()),
        one_class_groups=float((per_group == 1).mean()),
        classes=inside,
    )


def refuse_labels_that_equal_groups(codes: np.ndarray, groups: np.ndarray, classes: list[str]) -> None:
    """:raises SplitError: every class lies in exactly one group, so that no class can be trained on and held out"""
    table = _table(codes, groups, len(classes))
    per_class = (table > 0).sum(0)
    if len(table) < 2 or (per_class != 1).any():
        return
    pairs = ((table > 0).sum(1) == 1).all()
    raise SplitError(
        f"task and split: every one of the {len(classes)} classes lies in exactly one of the {len(table)} groups"
        f"{'; label and group are the same thing' if pairs else ''}. A group is either held out or trained on, so no class "
        f"can be both, e.g. '{classes[0]}' ({_n(int(table[:, 0].sum()), 'sample')}, 1 group). Add groups that hold the same "
        "classes, choose another task.label, or a finer split.group (e.g. donor instead of study); split=sample would run, but "
        "its accuracy could be that of telling the groups apart"
    )


def _table(codes: np.ndarray, groups: np.ndarray, n_classes: int) -> np.ndarray:
    """(n_groups, n_classes) number of samples."""
    ids, rows = np.unique(groups, return_inverse=True)
    return np.bincount(rows * n_classes + codes, minlength=len(ids) * n_classes).reshape(-1, n_classes).astype(float)


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else noun + ('es' if noun.endswith('s') else 's')}"
