"""A user's own LightningModule as a model: `model.module._target_: my_package.MyModule`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from beyondlinear.models.interface import FitData, FitResult, ModelProperties, TrainerConfig
from beyondlinear.models.network_model import predict, rows_used_by_training, validation_scores
from beyondlinear.models.trainer import train_with_lightning
from beyondlinear.runtime.errors import ConfigError


@dataclass(frozen=True)
class LightningModel:
    """Any LightningModule, trained on the train part and stopped by the validation part.

    module: called with (n_genes, n_classes, class_weights), class_weights (n_classes,) float32 with
    a mean of 1 over the train part. Its batches are (x, codes): (n, n_genes) float32 and (n,)
    int64. `forward(x)` gives (n, n_classes) scores, the larger the likelier; `validation_step` logs
    `validation_loss`, `training_step` may log `train_loss`. Loss, optimizer and whatever else are
    its own. linear: whether its scores are linear functions of the genes.
    """

    module: Callable[[int, int, Tensor], pl.LightningModule]
    linear: bool = False

    reads_scaled_rows: ClassVar[bool] = True
    can_pretrain: ClassVar[bool] = True
    needs_no_genes: ClassVar[bool] = False
    tuned_by: ClassVar[None] = None
    report_optimum: ClassVar[None] = None

    @property
    def properties(self) -> ModelProperties:
        return ModelProperties(linear=self.linear)

    def runs_on_one_thread(self, trainer: TrainerConfig, n_genes: int, n_classes: int) -> bool:
        """:raises ConfigError: trainer.engine=compiled"""
        if trainer.engine == "compiled":
            raise ConfigError(
                "trainer.engine: compiled cannot train this model: it is a LightningModule of your"
                " own. Take trainer.engine=auto or lightning"
            )
        return False

    def network(self, n_genes: int, n_classes: int) -> pl.LightningModule:
        """The module without a training set, to load weights into."""
        return self.module(n_genes, n_classes, torch.ones(n_classes))

    def fit(
        self,
        data: FitData,
        trainer: TrainerConfig,
        logger: Logger | list[Logger] | None = None,
        on_epoch: Callable[[int, int], None] | None = None,
        start: nn.Module | None = None,
        checkpoint: Path | None = None,
    ) -> FitResult:
        """Train on data.train, stop on data.validation, score the test rows with the best weights.

        :raises TrainingDiverged: no epoch gave a finite loss
        :raises ConfigError: trainer.engine=compiled, or the module logs no validation_loss
        """
        n_genes = data.train.x.shape[1]
        self.runs_on_one_thread(trainer, n_genes, data.n_classes)
        class_weights = torch.from_numpy(data.class_weights()).float()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(data.seeds.initialisation)
            module = self.module(n_genes, data.n_classes, class_weights)
        if start is not None:
            module.load_state_dict(start.state_dict())
        state = train_with_lightning(module, data, trainer, logger, on_epoch, checkpoint)
        n_parameters = sum(p.numel() for p in module.parameters())
        return FitResult(
            scores=predict(module, data.test_x),
            probabilities=None,
            validation_scores=validation_scores(module, data),
            hyperparameters={"batch_size": trainer.batch_size, "n_parameters": n_parameters},
            rows_used=rows_used_by_training(data),
            training=state.record("lightning"),
            network=module,
        )
