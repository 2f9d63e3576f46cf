"""The model that a rotation of split=pretrain trains first, made once for all fractions."""

import numpy as np

from beyondlinear.data.scaling import Preparation
from beyondlinear.experiment.context import Pretrained, RunContext
from beyondlinear.experiment.prepare import fit_seeds, prepare
from beyondlinear.models.interface import Model
from beyondlinear.runtime.errors import ConfigError
from beyondlinear.runtime.progress import FitProgress
from beyondlinear.tasks.splits import Fold, Parts


def pretrained_model(
    context: RunContext,
    fold: Fold,
    model: Model,
    chosen: dict[str, float],
    progress: FitProgress | None,
) -> Pretrained:
    """The model trained on the fold's pretraining part; the latest one is kept for further
    fractions, which may have been tuned to other hyperparameters (`chosen`).

    :raises SplitError: the pretraining part has no train and validation part with every class
    """
    key = (fold.number, *sorted(chosen.items()))
    if key not in context.pretrained:
        assert fold.pretraining is not None
        rows = pretraining_rows(context, fold)
        prepared = prepare(context, rows, fold.pretraining, context.removal)
        data = prepared.data(context.n_classes, fit_seeds(context, fold, "pretraining"))
        on_epoch = None if progress is None else progress.epoch
        result = model.fit(data, context.trainer, on_epoch=on_epoch)
        context.pretrained.clear()
        context.pretrained[key] = Pretrained(result, rows)
    return context.pretrained[key]


def pretraining_rows(context: RunContext, fold: Fold) -> Parts:
    """The pretraining part's own train and validation part."""
    assert fold.pretraining is not None
    train, validation = context.splitter.train_and_validation(
        context.samples, fold.pretraining, context.seed, "pretraining", fold.number
    )
    return Parts(train, validation, fold.test[:0])


def shared_preparation(context: RunContext, fold: Fold) -> tuple[Preparation, np.ndarray]:
    """Selection and scaling of a pair of fits, pretrained and not, and the rows they were fitted
    on: those of the pretraining's train part. A network goes on training on the scale it began
    with, and its twin differs from it in nothing but the pretraining.
    """
    if context.fits_on_all:
        rows = np.arange(len(context.samples.codes))
    else:
        rows = pretraining_rows(context, fold).train
    return context.fit_preparation(rows), rows


def refuse_without_weights(context: RunContext) -> None:
    """:raises ConfigError: the model cannot go on training from another's weights"""
    if not context.model.can_pretrain:
        raise ConfigError(
            f"model={context.names['model']} cannot be pretrained: it has no weights to go"
            " on training from; use logistic_regression, linear_svm, three_layer or five_layer"
            " with split=pretrain, or another split"
        )
