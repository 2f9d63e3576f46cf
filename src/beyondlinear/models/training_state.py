"""What a training has come to: its losses, its best weights, and whether it is over.

Both engines, Lightning's and the compiled one, keep their books here, so that a fit stops at the
same epoch and keeps the same weights whichever trains it.
"""

import copy
import math
from typing import Any

from torch import Tensor, nn

from beyondlinear.models.interface import TrainerConfig, TrainingDiverged


class TrainingState:
    """Losses by epoch and the weights of the best validation loss.

    history: one dict an epoch: epoch (from 0), train_loss (which a user's module may not log),
    validation_loss (where there is a validation part); best_loss, best_epoch: of the lowest
    validation loss, epochs from 0; best_weights: the weights after it, as copies. A reference would
    follow the optimizer's in-place updates, and "best" would silently mean "last".
    """

    def __init__(self, trainer: TrainerConfig, has_validation: bool) -> None:
        self.trainer = trainer
        self.has_validation = has_validation
        self.max_epochs = trainer.epochs_at_most(has_validation)
        self.history: list[dict[str, float]] = []
        self.best_loss = math.inf
        self.best_epoch = -1
        self.best_weights: dict[str, Tensor] | None = None

    def note_epoch(
        self, train_loss: float | None, validation_loss: float | None, network: nn.Module
    ) -> None:
        """Write down an epoch that has just ended, and copy its weights if they are the best.

        :param train_loss, validation_loss: None where they are not known
        """
        epoch = len(self.history)
        losses: dict[str, float] = {"epoch": epoch}
        if train_loss is not None:
            losses["train_loss"] = train_loss
        if validation_loss is not None:
            losses["validation_loss"] = validation_loss
        self.history.append(losses)
        if validation_loss is None or not validation_loss < self.best_loss:
            return
        self.best_loss = validation_loss
        self.best_epoch = epoch
        now = network.state_dict()
        if self.best_weights is None:
            self.best_weights = copy.deepcopy(dict(now))
            return
        # into the last best's memory: new memory costs more than the copy
        for name, weights in self.best_weights.items():
            weights.copy_(now[name])

    def stopped_by(self) -> str:
        """Why the training goes on no longer; "max_epochs" and "fixed epochs" as long as nothing
        else has stopped it."""
        if not self.has_validation:
            return "fixed epochs"
        stop_below = self.trainer.stop_below
        if stop_below is not None and self.best_loss < stop_below:
            return "loss below stop_below"
        if self.history and not math.isfinite(self.history[-1]["validation_loss"]):
            return "loss not finite"
        epochs_without_a_better_one = len(self.history) - self.best_epoch - 1
        if self.history and epochs_without_a_better_one >= self.trainer.patience:
            return "patience"
        return "max_epochs"

    @property
    def is_stopped_early(self) -> bool:
        return self.stopped_by() not in ("max_epochs", "fixed epochs")

    @property
    def is_over(self) -> bool:
        return len(self.history) >= self.max_epochs or self.is_stopped_early

    def put_best_weights_back(self, network: nn.Module) -> None:
        """:raises TrainingDiverged: no epoch gave a finite loss"""
        final = self.best_loss
        if not self.has_validation:
            final = self.history[-1].get("train_loss", 0.0)
        if not math.isfinite(final):
            raise TrainingDiverged(
                f"the loss is {final} after the training; lower model.optimizer.lr or set"
                " trainer.gradient_clip"
            )
        if self.best_weights is not None:
            network.load_state_dict(self.best_weights)

    def record(self, engine: str) -> dict[str, object]:
        """What the fit's record says of its training (see records/record.py, TrainingRecord)."""
        return {
            "epochs": len(self.history),
            "best_epoch": self.best_epoch + 1 if self.has_validation else None,
            "stopped_by": self.stopped_by(),
            "engine": engine,
            "history": self.history,
        }

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "history": self.history,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = state["history"]
        self.best_loss = state["best_loss"]
        self.best_epoch = state["best_epoch"]
        self.best_weights = state["best_weights"]
