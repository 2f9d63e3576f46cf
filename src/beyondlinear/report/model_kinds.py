"""What kind of model a learner is, and how it is shown for that.

A kind follows from what the model states about itself in its records, never from its name. Names
pick words and shades alone: those that ship here look alike in every report.
"""

from typing import Literal

import pandas as pd

Kind = Literal["certified linear", "linear", "network", "other"]

_IN_WORDS: dict[Kind, str] = {
    "certified linear": "a linear model solved to a certified optimum",
    "linear": "a linear model",
    "network": "a network",
    "other": "another non-linear model",
}
_NICER_WORDS = {
    "ridge_logistic": "ridge logistic regression solved to a certified optimum",
    "ridge_svm": "a ridge support vector machine (squared hinge) solved to a certified optimum",
    "logistic_regression": "logistic regression trained like the nets",
    "linear_svm": "a linear support vector machine trained like the nets",
    "three_layer": "a three-layer network",
    "five_layer": "a five-layer network",
    "random_forest": "a random forest",
    "rbf_svm": "a support vector machine with a Gaussian kernel",
}

# Okabe & Ito (2008), apart under colour blindness, and shades between; linear models in blues, so
# that kinds of model are seen at a glance
_SHADES: dict[Kind, tuple[str, ...]] = {
    "certified linear": ("#0072B2", "#004466", "#2A52BE", "#1B2A6B"),
    "linear": ("#56B4E9", "#7A9FC2", "#17BECF", "#9AD0F5"),
    "network": ("#E69F00", "#D55E00", "#8C564B", "#BCBD22"),
    "other": ("#009E73", "#CC79A7", "#9467BD", "#66A61E"),
}
_WHEN_SHADES_ARE_USED_UP = ("#7F7F7F", "#000000", "#B0A090", "#4D4D4D")
# which of its kind's shades a model of this package has
_OWN_SHADE = {
    "ridge_logistic": 0,
    "ridge_svm": 1,
    "logistic_regression": 0,
    "linear_svm": 1,
    "three_layer": 0,
    "five_layer": 1,
    "random_forest": 0,
    "rbf_svm": 1,
}


def kind_of(linear: bool, certified: bool, trained_in_epochs: bool) -> Kind:
    """
    >>> kind_of(linear=True, certified=False, trained_in_epochs=True)
    'linear'
    """
    if linear:
        return "certified linear" if certified else "linear"
    return "network" if trained_in_epochs else "other"


def kinds(fits: pd.DataFrame, column: str = "learner") -> dict[str, Kind]:
    """The kind of each learner (or model, by `column`), names in alphabetical order.

    :param fits: rows of `GatheredFits.done`
    """
    found: dict[str, Kind] = {}
    for name, of_name in fits.groupby(column, sort=True):
        found[str(name)] = kind_of(
            linear=bool(of_name.linear.any()),
            certified=bool(of_name.certified.any()),
            trained_in_epochs=bool(of_name.epochs.notna().any()),
        )
    return found


def in_words(model: str, kind: Kind) -> str:
    """A model as a sentence names it: "a three-layer network", "mine (a linear model)"."""
    nicer = _NICER_WORDS.get(model)
    return nicer if nicer is not None else f"{model} ({_IN_WORDS[kind]})"


def plain_name(model: str) -> str:
    """
    >>> plain_name("logistic_regression")
    'logistic regression'
    """
    return model.replace("_", " ")


def colours(fits: pd.DataFrame) -> dict[str, str]:
    """A colour for each learner: a shade of its kind, of its own as long as there are enough.

    Models of this package have the same shade in every report, whatever stands beside them.

    :param fits: rows of `GatheredFits.done`, all of a report, so that its figures agree
    """
    kind_by_learner = kinds(fits)
    models = fits.groupby("learner").model.first()
    assigned: dict[str, str] = {}
    for learner, kind in kind_by_learner.items():
        shade = _OWN_SHADE.get(models[learner])
        if shade is not None and _SHADES[kind][shade] not in assigned.values():
            assigned[learner] = _SHADES[kind][shade]
    for learner, kind in kind_by_learner.items():
        if learner not in assigned:
            assigned[learner] = _first_unused(kind, set(assigned.values()), len(assigned))
    return assigned


def _first_unused(kind: Kind, used: set[str], n_assigned: int) -> str:
    for shade in (*_SHADES[kind], *_WHEN_SHADES_ARE_USED_UP):
        if shade not in used:
            return shade
    return _SHADES[kind][n_assigned % len(_SHADES[kind])]
