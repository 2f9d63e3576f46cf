"""Lightning's Trainer: how a LightningModule is trained on a fit's parts, and who stops it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException

from beyondlinear.models.checkpoint import EpochCheckpoint
from beyondlinear.models.datamodule import PartsDataModule
from beyondlinear.models.interface import FitData, TrainerConfig
from beyondlinear.models.training_state import TrainingState
from beyondlinear.runtime.errors import ConfigError, Terminated


def train_with_lightning(
    module: pl.LightningModule,
    data: FitData,
    trainer: TrainerConfig,
    logger: Logger | list[Logger] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
    checkpoint: Path | None = None,
) -> TrainingState:
    """Train the module on data.train, stop on data.validation by the `validation_loss` that it
    logs, and put the best weights back. Dropout draws from torch's generators, which are left as
    they were.

    :raises TrainingDiverged: no epoch gave a finite loss
    :raises Terminated: SIGTERM came; the epoch was finished
    """
    has_validation = data.validation is not None
    state = TrainingState(trainer, has_validation)
    callbacks: list[pl.Callback] = [BestWeights(state)]
    if on_epoch is not None:
        callbacks.append(EpochProgress(on_epoch, state.max_epochs))
    if has_validation:
        callbacks.append(_early_stopping(trainer))
    # a callback may hold what it has seen: each fit has its own
    callbacks += copy.deepcopy(list(trainer.callbacks))
    saved = None
    if checkpoint is not None:
        saved = EpochCheckpoint(checkpoint, trainer.checkpoint_minutes)
        callbacks.append(saved)
    parts = PartsDataModule(data.train, data.validation, trainer.batch_size, data.seeds.batch_order)
    with torch.random.fork_rng(devices=[]):
        _seed(trainer, data.seeds.dropout)
        lightning = _trainer(trainer, state.max_epochs, has_validation, callbacks, logger)
        _fit(lightning, module, parts, saved.resumable() if saved is not None else None)
    state.put_best_weights_back(module)
    return state


class BestWeights(pl.Callback):
    """Writes the losses that the module logs into a `TrainingState`, which keeps the best weights.

    They are put back after the training and in no hook: Lightning calls none where a fit that was
    stopped after its last epoch goes on and finds nothing to do.
    """

    def __init__(self, state: TrainingState) -> None:
        self.state = state

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        logged = trainer.callback_metrics
        train_loss = float(logged["train_loss"]) if "train_loss" in logged else None
        validation_loss = None
        if self.state.has_validation:
            if "validation_loss" not in logged:
                raise ConfigError(
                    f"{type(module).__name__} logs no validation_loss, by which its training is"
                    " stopped; call self.log('validation_loss', …) in its validation_step"
                )
            validation_loss = float(logged["validation_loss"])
        self.state.note_epoch(train_loss, validation_loss, module)

    def state_dict(self) -> dict[str, Any]:
        return self.state.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state.load_state_dict(state)


class EpochProgress(pl.Callback):
    """Tells after each epoch how many were made and how many may come at most."""

    def __init__(self, tell: Callable[[int, int], None], max_epochs: int) -> None:
        self.tell = tell
        self.max_epochs = max_epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.tell(trainer.current_epoch + 1, self.max_epochs)


def _early_stopping(trainer: TrainerConfig) -> EarlyStopping:
    return EarlyStopping(
        "validation_loss",
        patience=trainer.patience,
        min_delta=0.0,
        stopping_threshold=trainer.stop_below,
        check_on_train_epoch_end=True,
    )


def _trainer(
    trainer: TrainerConfig,
    max_epochs: int,
    has_validation: bool,
    callbacks: list[pl.Callback],
    logger: Logger | list[Logger] | None,
) -> pl.Trainer:
    """A Trainer that does what the config says and prints nothing."""
    return pl.Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        precision=trainer.precision,
        # one process; a SLURM job around it is none of Lightning's business
        plugins=[LightningEnvironment()],
        max_epochs=max_epochs,
        gradient_clip_val=trainer.gradient_clip,
        deterministic=trainer.deterministic,
        callbacks=callbacks,
        logger=logger or False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        limit_val_batches=None if has_validation else 0,
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _fit(
    lightning: pl.Trainer,
    module: pl.LightningModule,
    parts: pl.LightningDataModule,
    checkpoint: Path | None,
) -> None:
    """Lightning's `fit`. Who stops it is told as what it is: Lightning ends the program, with exit
    code 1 at Ctrl-C and 0 at SIGTERM."""
    try:
        lightning.fit(
            module,
            parts,
            ckpt_path=checkpoint,
            weights_only=True if checkpoint is not None else None,
        )
    except SIGTERMException as e:
        raise Terminated("stopped by SIGTERM") from e
    except SystemExit as e:
        if isinstance(e.__context__, KeyboardInterrupt):
            raise e.__context__ from None
        raise


def _seed(trainer: TrainerConfig, seed: int) -> None:
    """torch.manual_seed seeds every kind of device; where there is none, it notes the call stack
    for later, which takes milliseconds. The CPU's stream is the same."""
    if trainer.accelerator == "gpu":
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
