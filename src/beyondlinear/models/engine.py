"""Which engine trains a network: Lightning or the compiled one. It is chosen here and nowhere
else."""

from typing import Literal

import torch
from torch import nn

from beyondlinear.models.compiled.engine import why_not
from beyondlinear.models.interface import TrainerConfig
from beyondlinear.models.losses import Loss
from beyondlinear.runtime.errors import ConfigError

Engine = Literal["lightning", "compiled"]


def choose_engine(
    trainer: TrainerConfig, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss
) -> Engine:
    """trainer.engine=auto takes the compiled engine wherever it can train these.

    :raises ConfigError: trainer.engine=compiled, and it cannot
    """
    if trainer.engine == "lightning":
        return "lightning"
    reason = _why_not_with(trainer) or why_not(network, optimizer, loss)
    if reason is None:
        return "compiled"
    if trainer.engine == "compiled":
        raise ConfigError(refusal(reason))
    return "lightning"


def refusal(reason: str) -> str:
    return (
        f"trainer.engine: compiled cannot train this model: {reason}. Take trainer.engine=auto or"
        " lightning"
    )


def _why_not_with(trainer: TrainerConfig) -> str | None:
    """Why no network can be trained by the compiled engine with these settings."""
    if trainer.accelerator != "cpu":
        return f"it runs on the CPU, and trainer.accelerator is {trainer.accelerator}"
    if trainer.precision != "32-true":
        return f"it computes in float32, and trainer.precision is {trainer.precision}"
    if trainer.callbacks:
        return "trainer.callbacks are Lightning's, and it trains without Lightning"
    return None
