"""The one LightningModule: an epoch of training and the tune loss after it, and which weights were best.

A step of Lightning's loop is a whole epoch here. What Lightning does around a step takes longer than an update of a linear
model does; around an epoch it is not felt, and checkpoints, trackers and callbacks, which all go by epochs, are the same.
"""

import copy
import functools
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import registry
from torch import Tensor, nn

from beyondlinear import linear_epoch, small_net_epoch
from beyondlinear.datamodule import Batches, Pass
from beyondlinear.layer_updates import LayerUpdates, layers_to_update
from beyondlinear.networks import Linear

# for each Trainer, which is for each fit, Lightning looks for callbacks in the metadata of all installed packages: the larger
# part of its set-up, and the answer does not change while a process lasts
if hasattr(registry, "entry_points"):
    registry.entry_points = functools.cache(registry.entry_points)  # type: ignore[assignment]


class Classifier(pl.LightningModule):
    """A network, a per-sample loss and class weights. Losses are read and logged once an epoch.

    loss: (scores, codes) to (n,) losses; gradient_clip: largest norm of an update's gradient, None: any; dropout_seed: of
    compiled epochs, others draw from torch's generator.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Callable[..., torch.optim.Optimizer],
        class_weights: Tensor,
        gradient_clip: float | None = None,
        dropout_seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network, self.loss, self.optimizer, self.gradient_clip = network, loss, optimizer, gradient_clip
        self.register_buffer("class_weights", class_weights)
        self.dropout_seed = dropout_seed
        self.history: list[dict[str, float]] = []
        self.made_optimizer: torch.optim.Optimizer | None = None

    def _loss_sum(self, x: Tensor, codes: Tensor) -> Tensor:
        return torch.dot(self.weights[codes], self.loss(self.network(x), codes))

    def training_step(self, both: Pass, step: int) -> None:
        self.run_epoch(both, self.current_epoch)

    def run_epoch(self, both: Pass, number: int) -> None:
        """One epoch; its losses enter the history."""
        losses: dict[str, float] = {"epoch": number, "train_loss": self.train_epoch(both.fit)}
        if both.tune is not None:
            losses["tune_loss"] = self.tune_loss(both.tune)
        self.history.append(losses)

    def train_epoch(self, batches: Batches) -> float:
        """Update on every batch; the mean of the samples' weighted losses, each from before its update."""
        optimizer = self.made_optimizer
        assert optimizer is not None
        how = (optimizer, self.loss, self.weights, self.gradient_clip, batches)
        if self.is_compiled:
            if isinstance(self.network, Linear):
                return linear_epoch.train_epoch(self.network.layer, *how)
            return small_net_epoch.train_epoch(self.network, *how, self.dropout_seed)
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            updates = layers_to_update(self.network, optimizer, batches.largest, threads)
            with updates.watching() if updates is not None else nullcontext():
                sums = [self._update(optimizer, updates, x, codes) for x, codes in batches]
        return _mean(sums, batches)

    def _update(
        self, optimizer: torch.optim.Optimizer, updates: LayerUpdates | None, x: Tensor, codes: Tensor
    ) -> Tensor:
        """One update; the sum of the batch's weighted losses before it."""
        loss_sum = self._loss_sum(x, codes)
        (loss_sum / len(codes)).backward()
        scale = 1.0
        if self.gradient_clip is not None:
            scale = _clip(optimizer, list(self.network.parameters()), self.gradient_clip, updates)
        optimizer.step()
        optimizer.zero_grad()
        if updates is not None:
            updates.step(scale)
        return loss_sum.detach()

    @property
    def is_compiled(self) -> bool:
        """Whether an epoch is one compiled loop, on one thread, that does what PyTorch would."""
        return self.made_optimizer is not None and is_compiled(self.network, self.made_optimizer, self.loss)

    @property
    def weights(self) -> Tensor:
        assert isinstance(self.class_weights, Tensor)
        return self.class_weights

    def tune_loss(self, batches: Batches) -> float:
        """Mean of the samples' weighted losses, without dropout and with running batch statistics."""
        if self.is_compiled:
            if isinstance(self.network, Linear):
                return linear_epoch.mean_loss(self.network.layer, self.loss, self.weights, batches)
            return small_net_epoch.mean_loss(self.network, self.loss, self.weights, batches)
        self.network.eval()
        with torch.inference_mode():
            sums = [self._loss_sum(x, codes) for x, codes in batches]
        self.network.train()
        return _mean(sums, batches)

    def on_train_epoch_end(self) -> None:
        """Tell callbacks and trackers of the losses: what self.log comes to, for a fifth of an epoch of a linear model less."""
        losses = {name: loss for name, loss in self.history[-1].items() if name != "epoch"}
        # float64: early stopping then compares the numbers that the record holds
        told = {name: torch.tensor(loss, dtype=torch.float64) for name, loss in losses.items()}
        self.trainer.callback_metrics.update(told)
        for logger in self.loggers:
            logger.log_metrics(losses, step=self.current_epoch)
            logger.save()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.made_optimizer = self.optimizer(self.network.parameters())
        return self.made_optimizer


def is_compiled(network: nn.Module, optimizer: torch.optim.Optimizer, loss: linear_epoch.Loss) -> bool:
    """Whether training with these is a compiled loop."""
    if isinstance(network, Linear):
        return linear_epoch.can_run(network.layer, optimizer, loss)
    return small_net_epoch.can_run(network, optimizer, loss)


def _mean(sums: list[Tensor], batches: Batches) -> float:
    return float(torch.stack(sums).double().sum()) / len(batches.codes)


def _clip(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], largest: float, updates: LayerUpdates | None
) -> float:
    """Scale the gradient to a norm of at most `largest`, as clip_grad_norm_ does; the factor, where `updates` need it.

    A fused optimizer divides by a scale while it reads the gradient anyway (it was made for mixed precision), which saves a
    pass over memory.
    """
    if not getattr(optimizer, "_step_supports_amp_scaling", False):
        nn.utils.clip_grad_norm_(parameters, largest)
        return 1.0
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if updates is not None:
        norm = (norm**2 + updates.squared_norm()).sqrt()
    divisor = ((norm + 1e-6) / largest).clamp(min=1)
    optimizer.grad_scale = divisor  # type: ignore[attr-defined]
    return 1 / float(divisor) if updates is not None else 1.0


class BestWeights(pl.Callback):
    """Keeps the weights of the best tune loss, as copies, to be put back at the end.

    A reference would follow the optimizer's in-place updates, and "best" would silently mean "last". No hook of Lightning's
    puts them back: it calls none where a fit that was stopped after its last epoch goes on and finds nothing to do.
    """

    def __init__(self) -> None:
        self.loss, self.epoch = math.inf, -1
        self.weights: Mapping[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss, self.epoch, self.weights = state["loss"], state["epoch"], state["weights"]

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, Classifier)
        self.note(module)

    def note(self, module: Classifier) -> None:
        """Compare the module's last epoch with the best one."""
        loss = module.history[-1]["tune_loss"]
        if loss < self.loss:
            self.loss, self.epoch = loss, len(module.history) - 1
            now = module.network.state_dict()
            if self.weights is None:
                self.weights = copy.deepcopy(now)
            for name, kept in self.weights.items():  # into the last best's memory: new memory costs more than the copy
                kept.copy_(now[name])

    def put_back(self, module: Classifier) -> None:
        if self.weights is not None:
            module.network.load_state_dict(self.weights)
