"""Networks as models: how a fit of one is trained, stopped and scored."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

from beyondlinear.checkpoint import EpochCheckpoint
from beyondlinear.datamodule import EVALUATION_BATCH, PartsDataModule
from beyondlinear.errors import ConfigError, Terminated, choices
from beyondlinear.losses import LOSSES
from beyondlinear.metrics import softmax
from beyondlinear.networks import Linear
from beyondlinear.training import FitData, Outcome, Training, TrainingDiverged
from beyondlinear.training_loop import BestWeights, Classifier
from beyondlinear.view import Matrix, blocks

LARGEST_LR = 0.03  # that scaling up for few genes may reach; beyond it Adam jumps between solutions


@dataclass(frozen=True)
class NetworkModel:
    """A network trained on the fit part and stopped by the tune part.

    network: called with (n_genes, n_classes); optimizer: called with the parameters.
    lr_at_genes: the optimizer's lr is meant for this many genes and is used times lr_at_genes/n_genes; None uses it as it
        is. An Adam step moves every weight by about lr, so a score by about lr·Σ|x|, which grows with the number of genes.
    search: ranges of the optimizer's lr and weight_decay for nested tuning.
    report_optimum: a linear network is compared with the certified optimum of its problem, up to this size of it.
    """

    network: Callable[..., nn.Module]
    loss: Literal["cross_entropy", "hinge"]
    optimizer: Callable[..., torch.optim.Optimizer]
    lr_at_genes: Annotated[int, Field(ge=1)] | None = None
    search: dict[str, Any] | None = None
    report_optimum: Annotated[float, Field(gt=0)] | None = None
    reads_views: ClassVar[bool] = True

    def with_hyperparameters(self, **values: float) -> "NetworkModel":
        """The same model with these arguments of its optimizer."""
        return replace(self, optimizer=functools.partial(self.optimizer, **values))

    def hyperparameters(self) -> dict[str, float]:
        """The optimizer's arguments that tuning may choose, as they are now."""
        return {k: v for k, v in getattr(self.optimizer, "keywords", {}).items() if k in ("lr", "weight_decay")}

    def fit(
        self,
        data: FitData,
        training: Training,
        logger: Any = False,
        on_epoch: Callable[[int, int], None] | None = None,
        start: nn.Module | None = None,
        checkpoint: Path | None = None,
    ) -> Outcome:
        """Train on data.fit, stop on data.tune, score the validation rows with the best weights.

        :param start: a trained network whose weights this one starts from; None: a new initialisation
        :param checkpoint: where a long training is saved, and from where it goes on if it was stopped
        :raises TrainingDiverged: no epoch gave a finite loss
        """
        with torch.random.fork_rng(devices=[]):
            module, best = self.module(data, training, start), BestWeights()
            stopper = EarlyStopping(
                "tune_loss",
                patience=training.patience,
                min_delta=0.0,
                stopping_threshold=training.stop_below,
                check_on_train_epoch_end=True,
            )
            max_epochs = training.max_epochs if data.tune is not None else training.epochs_without_tune
            callbacks: list[pl.Callback] = [_Epochs(on_epoch, max_epochs)] if on_epoch else []
            if data.tune is not None:
                callbacks += [best, stopper]
            saved = EpochCheckpoint(checkpoint, training.checkpoint_minutes) if checkpoint is not None else None
            trainer = plain_trainer(
                training,
                max_epochs,
                callbacks=[*callbacks, *([saved] if saved is not None else [])],
                logger=logger,
                enable_checkpointing=saved is not None,
            )
            parts = PartsDataModule(data.fit, data.tune, training.batch_size, data.seed("batch order"))
            train(trainer, module, parts, saved.resumable() if saved is not None else None)
        best.put_back(module)
        return self.outcome(module, best, data, training)

    def module(self, data: FitData, training: Training, start: nn.Module | None = None) -> Classifier:
        """What is to be trained, with its initial weights; the generator of dropout is seeded after them."""
        seed = _seeder(training)
        seed(data.seed("initialisation"))
        network = self.network(data.fit.x.shape[1], data.n_classes)
        if start is not None:
            network.load_state_dict(start.state_dict())
        seed(data.seed("dropout"))
        weights = torch.from_numpy(data.class_weights()).float()
        optimizer = self._optimizer(data.fit.x.shape[1])
        data.saw("weights", data.fit.rows)
        if data.tune is not None:
            data.saw("stopping", data.tune.rows)
        dropout = data.seed("dropout")
        return Classifier(network, LOSSES[self.loss], optimizer, weights, training.gradient_clip, dropout)

    def outcome(self, module: Classifier, best: BestWeights, data: FitData, training: Training) -> Outcome:
        """What a trained module says.

        :raises TrainingDiverged: no epoch gave a finite loss
        """
        final = best.loss if data.tune is not None else module.history[-1]["train_loss"]
        if not math.isfinite(final):
            raise TrainingDiverged(
                f"the loss is {final} after the training; lower model.optimizer.lr or set trainer.gradient_clip"
            )
        scores = predict(module.network, data.validation_x)
        assert module.made_optimizer is not None
        group = module.made_optimizer.param_groups[0]
        return Outcome(
            scores=scores,
            probabilities=softmax(scores + data.log_frequencies()) if self.loss == "cross_entropy" else None,
            tune_scores=predict(module.network, data.tune.x) if data.tune is not None else None,
            hyperparameters={
                "lr": group["lr"],
                "weight_decay": group["weight_decay"],
                "batch_size": training.batch_size,
                "n_parameters": sum(p.numel() for p in module.network.parameters()),
            },
            training={
                "epochs": len(module.history),
                "best_epoch": best.epoch + 1 if data.tune is not None else None,
                "beats_constant": best.loss < self._constant_loss(data) if data.tune is not None else None,
                "stopped_by": why_stopped(module.history, best, training) if data.tune is not None else "fixed epochs",
                "history": module.history,
            },
            network=module.network,
        )

    def weighted_loss(self, scores: np.ndarray, codes: np.ndarray, class_weights: np.ndarray) -> float:
        """Mean loss of (n, n_classes) scores, each sample weighted by its class; in float64."""
        y = torch.from_numpy(codes)
        losses = LOSSES[self.loss](torch.from_numpy(np.asarray(scores, dtype=np.float64)), y)
        return float((torch.from_numpy(class_weights)[y] * losses).mean())

    def _constant_loss(self, data: FitData) -> float:
        """Weighted tune loss of equal scores for all classes, which takes no training."""
        assert data.tune is not None
        nothing = np.zeros((len(data.tune), data.n_classes))
        return self.weighted_loss(nothing, data.tune.codes, data.class_weights())

    def _optimizer(self, n_genes: int) -> Callable[..., torch.optim.Optimizer]:
        if self.lr_at_genes is None:
            return self.optimizer
        lr = getattr(self.optimizer, "keywords", {}).get("lr")
        if lr is None:
            raise ConfigError(
                "model.lr_at_genes scales model.optimizer.lr, which is not set; set it, or lr_at_genes=null"
            )
        return functools.partial(self.optimizer, lr=min(lr * self.lr_at_genes / n_genes, max(lr, LARGEST_LR)))


def plain_trainer(training: Training, max_epochs: int, **more: Any) -> pl.Trainer:
    """A Trainer that does what it is told and prints nothing."""
    return pl.Trainer(
        accelerator=training.accelerator,
        devices=1,
        plugins=[LightningEnvironment()],  # one process; a SLURM job around it is none of Lightning's business
        max_epochs=max_epochs,
        deterministic=training.deterministic,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        limit_val_batches=0,  # the epoch's own step reads the tune loss
        enable_progress_bar=False,
        enable_model_summary=False,
        **more,
    )


def train(trainer: pl.Trainer, module: pl.LightningModule, data: Any, checkpoint: Path | None = None) -> None:
    """trainer.fit. Who stops it is told as what it is: Lightning ends the program, with exit code 1 at Ctrl-C and 0 at SIGTERM.

    :raises Terminated: SIGTERM came; the epoch was finished
    """
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True if checkpoint is not None else None)
    except SIGTERMException as e:
        raise Terminated("stopped by SIGTERM") from e
    except SystemExit as e:
        if isinstance(e.__context__, KeyboardInterrupt):
            raise e.__context__ from None
        raise


def check_search(model: NetworkModel) -> None:
    """:raises ConfigError: model.search names what the optimizer is not given, or report_optimum is set for a deep network"""
    known = model.hyperparameters()
    for name in model.search or {}:
        if name not in known:
            raise ConfigError(f"model.search.{name}: the optimizer has no such value to tune. {choices(name, known)}")
    network = getattr(model.network, "func", model.network)
    if model.report_optimum is not None and network is not Linear:
        raise ConfigError(
            "model.report_optimum compares linear networks with their optimum; set it to null for this model"
        )


def _seeder(training: Training) -> Callable[[int], Any]:
    """torch.manual_seed seeds every kind of device; where there is none, it notes the call stack for later, which takes
    milliseconds. The CPU's stream is the same."""
    return torch.manual_seed if training.accelerator == "gpu" else torch.default_generator.manual_seed


class _Epochs(pl.Callback):
    def __init__(self, tell: Callable[[int, int], None], max_epochs: int) -> None:
        self.tell, self.max_epochs = tell, max_epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.tell(trainer.current_epoch + 1, self.max_epochs)


def why_stopped(history: list[dict[str, float]], best: BestWeights, training: Training) -> str:
    """Why a fit with a tune part trains no longer; "max_epochs" as long as nothing else has stopped it."""
    if training.stop_below is not None and best.loss < training.stop_below:
        return "loss below stop_below"
    if not math.isfinite(history[-1]["tune_loss"]):
        return "loss not finite"
    return "patience" if len(history) - best.epoch - 1 >= training.patience else "max_epochs"


def predict(network: nn.Module, x: Matrix) -> np.ndarray:
    """Scores of all rows in evaluation mode (no dropout, running batch statistics); (n, n_classes) float32."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        chunks = [network(torch.from_numpy(b).to(device)).cpu() for b in blocks(x, EVALUATION_BATCH)]
    return torch.cat(chunks).numpy()
