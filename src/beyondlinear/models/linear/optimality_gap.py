"""How far a linear network, trained by Adam, is from the certified optimum of its problem."""

from typing import Any

import torch

from beyondlinear.data.scaled_rows import dense
from beyondlinear.models.interface import FitData, FitResult, TrainerConfig
from beyondlinear.models.linear.losses import make_loss
from beyondlinear.models.linear.reduction import in_blocks
from beyondlinear.models.linear.ridge_model import RidgeModel
from beyondlinear.models.network_model import NetworkModel


def optimum_of(
    model: NetworkModel, data: FitData, training: TrainerConfig, result: FitResult
) -> tuple[FitResult, dict[str, Any]]:
    """The certified model of the same fit, its penalty chosen by the same validation part, and what
    the network lacks of it.

    For cross-entropy `objective_gap` says by how much the weighted log-loss of the train part could
    be lowered with coefficients no longer than the network's: with F_λ the ridge objective and F*_λ
    its certified minimum, F_λ(network) − F*_λ ≥ 0 bounds it from above for every λ, and the least
    over the path is taken (Lagrangian duality: the best λ gives it exactly). A hinge and a squared
    hinge are not one objective, so there only held-out scores compare.
    :raises OptimumError: no certified optimum to compare with
    """
    ridge = RidgeModel(
        loss="logistic" if model.loss == "cross_entropy" else "squared_hinge", patience=None
    )
    best = ridge.fit(data, training)
    said = {
        "model": "ridge_logistic" if ridge.loss == "logistic" else "ridge_svm",
        **best.hyperparameters,
        **{k: best.training[k] for k in ("relative_gradient", "certified_on", "objective")},
    }
    if ridge.loss == "logistic":
        loss, square = _loss_and_length(result, data)
        steps = best.training["path"] or ridge.minima(data)
        said["objective_gap"] = min(
            loss + s["penalty"] / 2 * square - s["objective"] for s in steps
        )
    return best, said


def _loss_and_length(result: FitResult, data: FitData) -> tuple[float, float]:
    """Weighted log-loss on the train part of a network of one linear layer, and the squared length
    of its coefficients. Two score vectors become their difference, K are centred: both predict the
    same."""
    assert result.network is not None
    weight, bias = (p.detach().double().cpu() for p in result.network.parameters())
    if data.n_classes == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    else:
        weight = weight - weight.mean(0)
    codes = torch.from_numpy(data.train.codes)
    scores = (in_blocks(dense(data.train.x), weight.T) + bias)[:, None]
    losses = make_loss("logistic", codes, data.n_classes).value(scores)[:, 0]
    weighted = torch.from_numpy(data.class_weights())[codes] @ losses / len(codes)
    return float(weighted), float(weight.square().sum())
