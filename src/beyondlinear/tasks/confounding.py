"""How far the group alone says the label: what a split by group can and cannot test on these
samples."""

from dataclasses import asdict, dataclass

import numpy as np

from beyondlinear.runtime.errors import SplitError

SHOWN = 10  # classes named in a report
FEWEST = 2  # groups of a class, one to train on and one to hold out


@dataclass(frozen=True)
class ClassInGroups:
    """effective_groups: 1/Σ_g p_g² with p_g the share of the class's samples in group g (Kish; Hill
    number of order 2); it equals n_groups where all hold as many, and is near 1 where one group
    holds nearly all."""

    n_samples: int
    n_groups: int
    effective_groups: float


@dataclass(frozen=True)
class Confounding:
    """cramers_v: association of group and label, from 0 (none) to 1 (the group gives the label
    away). cramers_v_corrected: without what groups of few samples give by chance, which drives the
    plain one to 1. classes_per_group: mean number; one_class_groups: share of groups that hold one
    class only.
    """

    cramers_v: float
    cramers_v_corrected: float
    n_groups: int
    classes_per_group: float
    one_class_groups: float
    classes: dict[str, ClassInGroups]

    def summary(self) -> dict[str, object]:
        """As plain numbers, for a record."""
        return asdict(self)

    def rests_on_few(self, folds: int | None) -> list[str]:
        """Classes in fewer groups than folds, the fewest first. `folds` None (one group left out):
        in one group."""
        few = [c for c, inside in self.classes.items() if inside.n_groups < (folds or FEWEST)]
        return sorted(few, key=lambda c: self.classes[c].n_groups)

    def report(self, folds: int | None) -> str:
        """What to print before a run, in lines; empty where no class rests on few groups."""
        few = self.rests_on_few(folds)
        n_folds = folds or FEWEST
        if not few:
            return ""
        lines = [
            (
                f"group and label: Cramér's V {self.cramers_v_corrected:.2f} corrected for chance,"
                f" {self.cramers_v:.2f} plain (0: the group says nothing about the label, 1: it"
                " gives the label away)"
            ),
            (
                f"{self.n_groups:,} groups, {self.classes_per_group:.1f} classes in a group on"
                f" average; {self.one_class_groups:.0%} of the groups hold one class only"
            ),
        ]
        for name in few[:SHOWN]:
            inside = self.classes[name]
            location = (
                f"class '{name}' ({_n(inside.n_samples, 'sample')}) lies in"
                f" {_n(inside.n_groups, 'group')}"
            )
            if inside.n_groups == 1:
                lines.append(f"{location} only: no split can hold it out and train on it")
            else:
                lines.append(
                    f"{location}, as good as {inside.effective_groups:.1f} equal ones:"
                    f" {_consequence(inside.n_groups, n_folds)}"
                )
        if len(few) > SHOWN:
            lines.append(f"… and {_n(len(few) - SHOWN, 'class')} more in fewer groups than folds")
        lines.append("task.min_groups_per_class or task.classes leaves such classes out")
        return "\n".join(lines)


def _consequence(n_groups: int, n_folds: int) -> str:
    if n_groups == 2:
        return (
            "with one held out, one is left, which cannot be in both the train and the validation"
            " part"
        )
    return f"at least {n_folds - n_groups} of {n_folds} folds hold none of it out"


def confounding(codes: np.ndarray, groups: np.ndarray, classes: list[str]) -> Confounding | None:
    """How a task's labels lie in its groups; None where every sample is a group of its own, or all
    are one.

    Cramér's V is √(φ²/min(r − 1, k − 1)) with φ² = χ²/n over r groups and k classes. The corrected
    one follows Bergsma (2013), J. Korean Stat. Soc. 42:323: φ̃² = max(0, φ² − (r − 1)(k − 1)/(n −
    1)), r̃ = r − (r − 1)²/(n − 1), k̃ likewise.
    :param codes: (n,) int64, positions in `classes`; groups: (n,) int64
    """
    table = _table(codes, groups, len(classes))
    n = int(table.sum())
    r = len(table)
    present = table.sum(0) > 0
    k = int(present.sum())
    if r == n or r < 2 or k < 2:
        return None
    observed = table[:, present]
    expected = np.outer(observed.sum(1), observed.sum(0)) / n
    phi_squared = float(((observed - expected) ** 2 / expected).sum()) / n
    phi_squared_corrected = max(0.0, phi_squared - (r - 1) * (k - 1) / (n - 1))
    r_corrected = r - (r - 1) ** 2 / (n - 1)
    k_corrected = k - (k - 1) ** 2 / (n - 1)
    largest = min(r_corrected, k_corrected) - 1
    v_corrected = 0.0  # as many classes as samples
    if largest > 0:
        v_corrected = float(np.sqrt(phi_squared_corrected / largest))
    inside = {}
    for name, in_groups in zip(classes, table.T, strict=True):
        if in_groups.any():
            inside[name] = ClassInGroups(
                n_samples=int(in_groups.sum()),
                n_groups=int((in_groups > 0).sum()),
                effective_groups=float(in_groups.sum() ** 2 / (in_groups**2).sum()),
            )
    classes_per_group = (table > 0).sum(1)
    return Confounding(
        cramers_v=float(np.sqrt(phi_squared / (min(r, k) - 1))),
        cramers_v_corrected=v_corrected,
        n_groups=r,
        classes_per_group=float(classes_per_group.mean()),
        one_class_groups=float((classes_per_group == 1).mean()),
        classes=inside,
    )


def refuse_labels_that_equal_groups(
    codes: np.ndarray, groups: np.ndarray, classes: list[str]
) -> None:
    """:raises SplitError: every class lies in exactly one group, so that no class can be trained on
    and held out"""
    table = _table(codes, groups, len(classes))
    per_class = (table > 0).sum(0)
    if len(table) < 2 or (per_class != 1).any():
        return
    pairs = ((table > 0).sum(1) == 1).all()
    raise SplitError(
        f"task and split: every one of the {len(classes)} classes lies in exactly one of the"
        f" {len(table)} groups{'; label and group are the same thing' if pairs else ''}. A group is"
        f" either held out or trained on, so no class can be both, e.g. '{classes[0]}'"
        f" ({_n(int(table[:, 0].sum()), 'sample')}, 1 group). Add groups that hold the same"
        " classes, choose another task.label, or a finer split.group (e.g. donor instead of"
        " study); split=sample would run, but its accuracy could be that of telling the groups"
        " apart"
    )


def _table(codes: np.ndarray, groups: np.ndarray, n_classes: int) -> np.ndarray:
    """(n_groups, n_classes) number of samples."""
    ids, group = np.unique(groups, return_inverse=True)
    cell = group * n_classes + codes
    counts = np.bincount(cell, minlength=len(ids) * n_classes)
    return counts.reshape(len(ids), n_classes).astype(float)


def _n(count: int, noun: str) -> str:
    """E.g. "1 class", "1,200 samples"."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun if count == 1 else plural}"
