"""The LightningModule that networks train with: a network, a loss a sample, and class weights."""

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


class Classifier(pl.LightningModule):
    """Trains a network on the mean of its samples' losses, each weighted by its class.

    loss: (scores, codes) to (n,) losses; optimizer: called with the parameters; class_weights:
    (n_classes,). `train_loss` and `validation_loss` are logged once an epoch, as means over the
    samples; a sample's train loss is the one before its update.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Callable[..., torch.optim.Optimizer],
        class_weights: Tensor,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def weighted_loss(self, batch: Batch) -> Tensor:
        """Mean of the batch's weighted losses."""
        x, codes = batch
        losses = self.loss(self(x), codes)
        return torch.dot(self.class_weights[codes], losses) / len(codes)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        loss = self.weighted_loss(batch)
        self._log_mean("train_loss", loss, batch)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._log_mean("validation_loss", self.weighted_loss(batch), batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.network.parameters())

    def _log_mean(self, name: str, loss: Tensor, batch: Batch) -> None:
        # float64, so that early stopping compares epochs to more digits than float32 has
        value = loss.detach().double()
        self.log(name, value, on_step=False, on_epoch=True, batch_size=len(batch[1]))
