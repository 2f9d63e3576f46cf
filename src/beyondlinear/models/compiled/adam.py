"""Adam (Kingma & Ba 2015, algorithm 1) as a compiled loop, with its state where PyTorch keeps it.

An epoch of this engine after one of PyTorch's, and the other way round, go on where the other
stopped.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn

from beyondlinear.models.compiled.flags import SUMS


class AdamSettings(NamedTuple):
    """The optimizer's hyperparameters, and the number of updates so far."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    updates: int


class Trained(NamedTuple):
    """A parameter, or all of a network in a row, and Adam's two moments of it; arrays of one
    shape."""

    values: np.ndarray
    mean: np.ndarray
    square: np.ndarray


class AdamNumbers(NamedTuple):
    """What one update needs to know, as float32.

    mean_share: 1 − β₁; beta2: β₂; square_share: 1 − β₂; step_size: lr / (1 − β₁ᵗ), and root_factor:
    1 / √(1 − β₂ᵗ) of update t, which correct the moments for their start at 0; gradient_factor:
    what clipping multiplies the gradient with.
    """

    mean_share: np.float32
    beta2: np.float32
    square_share: np.float32
    eps: np.float32
    weight_decay: np.float32
    step_size: np.float32
    root_factor: np.float32
    gradient_factor: np.float32


def adam_applies(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> bool:
    """Whether an update of these parameters is `adam_step`: fused Adam on float32 in main memory
    (or on the device "meta": a network whose weights are not made yet)."""
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    has_variants = group["amsgrad"] or group["maximize"] or group["decoupled_weight_decay"]
    if has_variants or not group["fused"] or not isinstance(group["lr"], float):
        return False
    if [id(p) for p in group["params"]] != [id(p) for p in parameters]:
        return False
    return all(
        p.device.type in ("cpu", "meta") and p.dtype == torch.float32 and p.requires_grad
        for p in parameters
    )


def adam_states(
    optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]
) -> list[dict[str, Tensor]]:
    """Adam's state of each parameter, as PyTorch keeps it: step, exp_avg, exp_avg_sq."""
    for p in parameters:
        if not optimizer.state[p]:
            optimizer.state[p] = {
                "step": torch.zeros((), dtype=torch.float32),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
    return [optimizer.state[p] for p in parameters]


def adam_settings(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> AdamSettings:
    """:param state: of any of its parameters"""
    group = optimizer.param_groups[0]
    beta1, beta2 = group["betas"]
    return AdamSettings(
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        eps=group["eps"],
        weight_decay=group["weight_decay"],
        updates=int(state["step"]),
    )


def with_moments(parameter: Tensor, state: dict[str, Tensor]) -> Trained:
    """A parameter and its two moments, as arrays of the same memory."""
    return Trained(
        parameter.detach().numpy(), state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()
    )


@numba.njit(nogil=True, cache=True)
def adam_numbers(settings: AdamSettings, update: int, gradient_factor: np.float32) -> AdamNumbers:
    """1 − 0.999 is taken before it is rounded: a float32's 0.999 is 1e-8 off, and what is left of 1
    would be a hundred thousandth off.

    :param update: its number, from 1
    """
    step_size = settings.lr / (1 - settings.beta1**update)
    root_factor = 1 / np.sqrt(1 - settings.beta2**update)
    return AdamNumbers(
        np.float32(1 - settings.beta1),
        np.float32(settings.beta2),
        np.float32(1 - settings.beta2),
        np.float32(settings.eps),
        np.float32(settings.weight_decay),
        np.float32(step_size),
        np.float32(root_factor),
        np.float32(gradient_factor),
    )


@numba.njit(nogil=True, inline="always")
def clipping_factor(gradient_square: float, largest_norm: float) -> np.float32:
    """What a gradient of this sum of squares is multiplied with, so that its norm is at most
    `largest_norm`; as `torch.nn.utils.clip_grad_norm_` has it."""
    norm = np.sqrt(gradient_square)
    return np.float32(1 / max((norm + 1e-6) / largest_norm, 1.0))


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def adam_step(
    values: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    gradient: np.ndarray,
    numbers: AdamNumbers,
) -> None:
    """One update of (n,) values and their moments, in place. With g the clipped gradient plus
    weight_decay · value:

        mean   ← β₁ mean + (1 − β₁) g
        square ← β₂ square + (1 − β₂) g²
        value  ← value − lr · mean/(1 − β₁ᵗ) / (√(square/(1 − β₂ᵗ)) + ε)
    """
    for j in range(len(values)):
        g = gradient[j] * numbers.gradient_factor + numbers.weight_decay * values[j]
        m = mean[j] + numbers.mean_share * (g - mean[j])
        v = square[j] * numbers.beta2 + numbers.square_share * g * g
        mean[j] = m
        square[j] = v
        values[j] -= numbers.step_size * m / (np.sqrt(v) * numbers.root_factor + numbers.eps)
