"""Inner fits are trained together before they are asked for, where it is known that they will be."""

from collections.abc import Callable, Sequence

import numpy as np

from beyondlinear.classifier import NetworkModel
from beyondlinear.together import fit_together, most_together
from beyondlinear.training import FitData, Training, TrainingDiverged


class Ahead:
    """Inner losses of one study, by trial and inner fold. A loss is the same whether it was made ahead or not.

    data: inner fold → (what a model is given there, codes of its validation part); known: hyperparameters of the trials that
    hang on no other trial's losses; prune: whether a trial may end after any of its folds; keep: whether the data of all
    inner folds may be held at a time.
    """

    def __init__(
        self,
        model: NetworkModel,
        training: Training,
        data: Callable[[int], tuple[FitData, np.ndarray]],
        n_folds: int,
        known: Sequence[dict[str, float]],
        prune: bool,
        keep: bool,
        n_genes: int,
        n_classes: int,
    ) -> None:
        self.model, self.training, self.data, self.n_folds = model, training, data, n_folds
        self.known, self.prune, self.keep = known, prune, keep
        self.most = most_together(model, training, n_genes, n_classes)
        self.made: dict[tuple[tuple[tuple[str, float], ...], int], float | TrainingDiverged] = {}

    def loss(self, parameters: dict[str, float], fold: int) -> float:
        """The weighted inner-validation loss of a trial on inner fold `fold`.

        :raises TrainingDiverged: no epoch gave a finite loss
        """
        if _key(parameters, fold) not in self.made:
            self._make(self._wanted(parameters, fold))
        found = self.made.pop(_key(parameters, fold))
        if isinstance(found, TrainingDiverged):
            raise found
        return found

    def _wanted(self, parameters: dict[str, float], fold: int) -> list[tuple[dict[str, float], int]]:
        """This fit first, and those that will be asked for next: the first inner fold of the trials to come, then the rest of
        one trial, for many a trial is pruned after its first; without pruning all folds of the trials to come."""
        if self.most == 1:
            return [(parameters, fold)]
        later = list(range(fold, self.n_folds if self.keep else fold + 1))
        if self.prune and fold > 0:
            return [(parameters, j) for j in later]
        trials = self.known[self.known.index(parameters) :] if parameters in self.known else [parameters]
        later = [fold] if self.prune else later
        wanted = [(p, j) for p in trials for j in later]
        return [w for w in wanted if _key(*w) not in self.made][: self.most]

    def _make(self, wanted: list[tuple[dict[str, float], int]]) -> None:
        given = [(self.model.with_hyperparameters(**p), *self.data(j)) for p, j in wanted]
        outcomes = fit_together([(model, data) for model, data, _ in given], self.training)
        for (p, j), (model, data, codes), outcome in zip(wanted, given, outcomes, strict=True):
            if isinstance(outcome, TrainingDiverged):
                self.made[_key(p, j)] = outcome
            else:
                self.made[_key(p, j)] = model.weighted_loss(outcome.scores, codes, data.class_weights())


def _key(parameters: dict[str, float], fold: int) -> tuple[tuple[tuple[str, float], ...], int]:
    return tuple(sorted(parameters.items())), fold
