"""Every model against the linear model that cannot be under-trained: one that is solved to a
certified optimum."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from beyondlinear.report.model_kinds import plain_name
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.statistics import compare, holm


@dataclass(frozen=True)
class LinearReference:
    """The certified linear model that others are compared with.

    values: one row a seed and fold, `value` its balanced accuracy; learner: whose fits they are or
    stand beside; name: in tables; in_words: in sentences; is_optimum: whether the values are those
    of the optimum that was solved beside a linear model trained like a net.
    """

    values: pd.DataFrame
    learner: str
    name: str
    in_words: str
    is_optimum: bool


def certified_reference(fits: pd.DataFrame) -> LinearReference | None:
    """The certified linear model among fits, or None.

    A model that is solved comes before the optimum beside one that is trained, and one that gives
    probabilities (logistic regression) before one that does not.

    :param fits: rows of `GatheredFits.done` of one panel, at one fraction, with the signal present
        and the real labels
    """
    solved = fits[fits.linear & fits.certified]
    if solved.probabilities.any():
        solved = solved[solved.probabilities]
    if len(solved):
        learner = _most_frequent(solved.learner)
        solved = solved[solved.learner == learner]
        values = solved[["seed", "fold"]].assign(value=solved.balanced_accuracy)
        return LinearReference(values, learner, learner, "the certified linear model", False)

    # the hinge loss of a trained SVM is not that of the solved one, so only the logistic optimum
    # is that of the same problem
    trained = fits[fits.linear & fits.probabilities & fits.optimum_balanced_accuracy.notna()]
    if trained.empty:
        return None
    learner = _most_frequent(trained.learner)
    trained = trained[trained.learner == learner]
    model = trained.model.iloc[0]
    return LinearReference(
        values=trained[["seed", "fold"]].assign(value=trained.optimum_balanced_accuracy),
        learner=learner,
        name=f"optimum of {model}",
        in_words=f"the certified optimum of {plain_name(model)}",
        is_optimum=True,
    )


def _most_frequent(learners: pd.Series) -> str:
    """Of several that are as frequent, the first by name."""
    return str(learners.mode()[0])


def at_largest_fraction(fits: pd.DataFrame) -> pd.DataFrame:
    """:param fits: of one panel"""
    return fits[fits.fraction == fits.fraction.max()]


def comparisons(gathered: GatheredFits) -> pd.DataFrame:
    """Every other model against the certified linear one, with the signal present, on the same
    folds and seeds, at the largest fraction of each panel; p-values adjusted by Holm over all rows
    that compare a non-linear model.
    """
    done = gathered.done
    done = done[(done.signal_removal == "none") & (done.control == "none")]
    rows = []
    for panel, of_panel in done.groupby("panel", sort=True):
        fits = at_largest_fraction(of_panel)
        reference = certified_reference(fits)
        if reference is None:
            continue
        # the optimum beside a model is another model than the one that was trained
        others = fits if reference.is_optimum else fits[fits.learner != reference.learner]
        for learner, model in others.groupby("learner", sort=True):
            both = model.merge(reference.values, on=["seed", "fold"])
            if both.empty:
                continue
            names = {"panel": panel, "learner": learner, "fraction": fits.fraction.max()}
            rows.append({**names, **_compare(both, reference)})
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    table["id"] = [f"c{number}" for number in range(1, len(table) + 1)]
    non_linear = ~table.linear
    table.loc[non_linear, "p_holm"] = holm(table.p_value[non_linear])
    return table[_COLUMNS]


_COLUMNS = [
    "id",
    "panel",
    "learner",
    "model",
    "linear",
    "reference",
    "reference_in_words",
    "fraction",
    "folds",
    "seeds",
    "balanced_accuracy",
    "of_reference",
    "difference",
    "low",
    "high",
    "p_value",
    "p_holm",
    "worse",
    "equivalent",
    "better",
]


def _compare(both: pd.DataFrame, reference: LinearReference) -> dict[str, object]:
    """:param both: fits of a model, with the reference's balanced accuracy as `value`"""
    differences = (both.balanced_accuracy - both.value).to_numpy()
    found = compare(differences, both.n_outer_train.mean(), both.n_test.mean())
    return {
        "model": both.model.iloc[0],
        "linear": bool(both.linear.iloc[0]),
        "reference": reference.name,
        "reference_in_words": reference.in_words,
        "folds": both.fold.nunique(),
        "seeds": both.seed.nunique(),
        "balanced_accuracy": both.balanced_accuracy.mean(),
        "of_reference": both.value.mean(),
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "p_holm": np.nan,
        "worse": found.below,
        "equivalent": found.rope,
        "better": found.above,
    }
