"""The compiled engine: a fit as a plain loop over compiled epochs, without Lightning.

What Lightning does around a step takes longer than a linear network's update, and around an epoch
as long as its epoch. Here nothing is around it. A fit takes one thread and touches nothing global,
so that it ends in the same bits alone and beside others on threads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from beyondlinear.models.checkpoint import CheckpointFile
from beyondlinear.models.compiled import linear, small_net
from beyondlinear.models.compiled.adam import adam_applies
from beyondlinear.models.compiled.losses import LOSSES_HERE
from beyondlinear.models.datamodule import EVALUATION_BATCH, Batches, part_batches
from beyondlinear.models.interface import FitData, TrainerConfig
from beyondlinear.models.losses import Loss
from beyondlinear.models.networks import FiveLayer, Linear, ThreeLayer
from beyondlinear.models.training_state import TrainingState
from beyondlinear.runtime.stop_request import raise_if_stopped, sigterm_stops_fits

MAY_BE_COMPILED = (Linear, ThreeLayer, FiveLayer)


def why_not(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss) -> str | None:
    """Why these cannot be trained here; None where they can."""
    if type(network) is not Linear and small_net.layout(network) is None:
        return small_net.WHICH
    if loss not in LOSSES_HERE:
        return "its loss is none of cross_entropy and hinge"
    if not adam_applies(optimizer, list(network.parameters())):
        return (
            "its optimizer is not torch.optim.Adam with fused=true, and without amsgrad, maximize"
            " and decoupled_weight_decay, on float32 weights in main memory"
        )
    return None


def train_compiled(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    data: FitData,
    trainer: TrainerConfig,
    logger: Logger | list[Logger] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
    checkpoint: Path | None = None,
) -> TrainingState:
    """Train the network on data.train, stop on data.validation, and leave it with its best weights.

    :param optimizer: of the network's parameters; its state is trained with them
    :raises TrainingDiverged: no epoch gave a finite loss
    :raises Terminated: SIGTERM came; the epoch was finished
    """
    fit = _Fit(network, optimizer, loss, data, trainer)
    state = fit.state
    saved = None
    if checkpoint is not None:
        saved = CheckpointFile(checkpoint, trainer.checkpoint_minutes, "compiled")
        stopped_before = saved.read()
        if stopped_before is not None:
            fit.load_state_dict(stopped_before)
    with sigterm_stops_fits():
        while not state.is_over:
            fit.run_epoch()
            if logger is not None:
                _log(logger, state.history[-1])
            if on_epoch is not None:
                on_epoch(len(state.history), state.max_epochs)
            if saved is not None and saved.is_due and not state.is_stopped_early:
                saved.write(fit.save)
            raise_if_stopped()
    state.put_best_weights_back(network)
    return state


class _Fit:
    """One fit, and where it stands."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        data: FitData,
        trainer: TrainerConfig,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.loss = loss
        self.class_weights: Tensor = torch.from_numpy(data.class_weights()).float()
        self.gradient_clip = trainer.gradient_clip
        self.dropout_seed = data.seeds.dropout
        self.generator = torch.Generator().manual_seed(data.seeds.batch_order)
        self.train = part_batches(data.train, trainer.batch_size, self.generator)
        self.validation: Batches | None = None
        if data.validation is not None:
            self.validation = part_batches(data.validation, EVALUATION_BATCH)
        self.state = TrainingState(trainer, data.validation is not None)

    def run_epoch(self) -> None:
        train_loss = self._train_epoch()
        validation_loss = None if self.validation is None else self._mean_loss(self.validation)
        self.state.note_epoch(train_loss, validation_loss, self.network)

    def _train_epoch(self) -> float:
        arguments = (
            self.optimizer,
            self.loss,
            self.class_weights,
            self.gradient_clip,
            self.train,
        )
        if isinstance(self.network, Linear):
            return linear.train_epoch(self.network.layer, *arguments)
        return small_net.train_epoch(self.network, *arguments, self.dropout_seed)

    def _mean_loss(self, batches: Batches) -> float:
        if isinstance(self.network, Linear):
            return linear.mean_loss(self.network.layer, self.loss, self.class_weights, batches)
        return small_net.mean_loss(self.network, self.loss, self.class_weights, batches)

    def save(self, path: Path) -> None:
        torch.save(
            {
                "engine": "compiled",
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "batch_order": self.generator.get_state(),
                "state": self.state.state_dict(),
            },
            path,
        )

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["batch_order"])
        self.state.load_state_dict(saved["state"])


def _log(logger: Logger | list[Logger], losses: dict[str, float]) -> None:
    for each in logger if isinstance(logger, list) else [logger]:
        # with the epoch among the metrics, as Lightning gives them
        each.log_metrics(dict(losses), step=int(losses["epoch"]))
        each.save()
