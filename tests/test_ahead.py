import dataclasses

import pytest
from test_together import TRAINING, data, model

from beyondlinear import ahead
from beyondlinear.ahead import Ahead
from beyondlinear.networks import ThreeLayer
from beyondlinear.tuning import Tuning, known_points, search

FOLDS = [data(10 + j, n=60, signal=0.5) for j in range(3)]
SPACE = {"lr": (1e-3, 1.0), "weight_decay": (1e-4, 1.0)}
DEFAULTS = {"lr": 0.01, "weight_decay": 0.0}


class Memory:
    def load(self):
        return []

    def save(self, trials):
        pass


def fold(j):
    its = FOLDS[j]
    return its, its.tune.codes


def one_by_one(parameters, j):
    """The loss as one asks for it without Ahead."""
    each, its = model(0.01).with_hyperparameters(**parameters), FOLDS[j]
    return each.weighted_loss(each.fit(its, TRAINING).scores, its.tune.codes, its.class_weights())


def seed(name, number):
    return number


def study(tuning, loss):
    trials = search(tuning, SPACE, DEFAULTS, loss, len(FOLDS), seed, Memory())
    return [dataclasses.replace(t, seconds=0) for t in trials]


@pytest.mark.parametrize("method", ["random", "grid", "tpe"])
@pytest.mark.parametrize("prune", [True, False])
def test_a_study_is_the_same_to_the_last_bit(method, prune):
    tuning = Tuning(method, trials=9, inner_folds=3, prune=prune)
    known = known_points(tuning, SPACE, DEFAULTS, seed)
    for keep in (True, False):
        made = Ahead(model(0.01), TRAINING, fold, len(FOLDS), known, prune, keep, 60, 3)
        trials = study(tuning, made.loss)
        assert trials == study(tuning, one_by_one)
        assert {t.state for t in trials} == ({"complete", "pruned"} if prune else {"complete"})


def test_nothing_is_made_in_vain_but_folds_of_pruned_trials(monkeypatch):
    """Nine trials, three folds. Without pruning 27 fits in one go; with it the nine first folds in one go, then two folds of
    each trial that its first did not end."""
    sizes = []
    true = ahead.fit_together
    monkeypatch.setattr(ahead, "fit_together", lambda fits, training: sizes.append(len(fits)) or true(fits, training))
    for prune in (False, True):
        sizes.clear()
        tuning = Tuning("random", trials=9, inner_folds=3, prune=prune)
        known = known_points(tuning, SPACE, DEFAULTS, seed)
        trials = study(tuning, Ahead(model(0.01), TRAINING, fold, len(FOLDS), known, prune, True, 60, 3).loss)
        went_on = sum(len(t.losses) > 1 for t in trials)
        assert sizes == ([9, *[2] * went_on] if prune else [27])


def test_wide_networks_are_made_when_they_are_asked_for():
    of_2000_genes = Ahead(model(0.01, network=ThreeLayer), TRAINING, fold, len(FOLDS), [DEFAULTS], False, True, 2000, 3)
    of_2000_genes.loss(DEFAULTS, 0)
    assert not of_2000_genes.made
    small = Ahead(model(0.01, network=ThreeLayer), TRAINING, fold, len(FOLDS), [DEFAULTS], False, True, 60, 3)
    small.loss(DEFAULTS, 0)
    assert len(small.made) == len(FOLDS) - 1
