"""What every model is given for one fit, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from beyondlinear.datamodule import Part
from beyondlinear.errors import ConfigError
from beyondlinear.view import Matrix, dense

if TYPE_CHECKING:
    from torch import nn

    from beyondlinear.linear.reduction import Gram
    from beyondlinear.linear.ridge import Optimum


def _unseen(step: str, rows: np.ndarray) -> None:
    """Where nobody keeps a ledger."""


@dataclass(frozen=True)
class FitData:
    """All that a model is given for one fit. It holds the validation features, never the validation labels' codes.

    gram: inner products of the prepared rows, where fits of a run share them; a linear solver then needs no genes.
    saw: told by each fitted step, by name, which rows it learns from.
    """

    fit: Part
    tune: Part | None
    validation_x: Matrix
    n_classes: int
    seed: Callable[[str], int]
    gram: "Gram | None" = None
    saw: Callable[[str, np.ndarray], None] = _unseen

    def dense(self) -> "FitData":
        """The same with arrays in place of views."""
        fit, tune = (p if p is None else replace(p, x=dense(p.x)) for p in (self.fit, self.tune))
        assert fit is not None
        return replace(self, fit=fit, tune=tune, validation_x=dense(self.validation_x))

    def class_weights(self) -> np.ndarray:
        """(n_classes,) inverse class frequencies of the fit part, n/(K·n_c): the samples' mean weight is 1."""
        self.saw("class weights", self.fit.rows)
        counts = np.bincount(self.fit.codes, minlength=self.n_classes)
        return len(self.fit) / (self.n_classes * counts)

    def log_frequencies(self) -> np.ndarray:
        """(n_classes,) log shares of the classes in the fit part. Class weights train a model as if classes were equally
        common; added to its scores these give back the probabilities of the data as they are (Saerens et al. 2002)."""
        return np.log(np.bincount(self.fit.codes, minlength=self.n_classes) / len(self.fit))


@dataclass(frozen=True)
class Outcome:
    """What a trained model says of the tune and validation parts, and how it came to it.

    scores: (n, n_classes), larger is likelier; probabilities: None where they need calibration on the tune part.
    arrays: what is to be kept beside the predictions; network, optimum: the trained model itself.
    """

    scores: np.ndarray
    probabilities: np.ndarray | None
    tune_scores: np.ndarray | None
    hyperparameters: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    network: "nn.Module | None" = None
    optimum: "Optimum | None" = None


@dataclass(frozen=True)
class Training:
    """How long and on what a fit trains; conf/trainer/ explains the keys."""

    accelerator: Literal["cpu", "gpu"]
    threads: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    gradient_clip: Annotated[float, Field(gt=0)] | None
    max_epochs: Annotated[int, Field(ge=1)]
    patience: Annotated[int, Field(ge=1)]
    stop_below: float | None
    epochs_without_tune: Annotated[int, Field(ge=1)]
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10
    matrix_products: Literal["float32", "tf32", "bf16"] = "float32"
    deterministic: bool = True

    def set_up(self) -> None:
        """Make torch of this process as these keys say.

        :raises ConfigError: a GPU is asked for and torch sees none
        """
        import torch

        if self.accelerator == "gpu" and not torch.cuda.is_available():
            built = (
                "was built without CUDA" if torch.version.cuda is None else f"was built for CUDA {torch.version.cuda}"
            )
            raise ConfigError(
                f"trainer.accelerator=gpu: torch {torch.__version__} {built} and sees no GPU; run where nvidia-smi lists one, "
                "with a CUDA build of torch, or take trainer=cpu"
            )
        torch.set_num_threads(self.threads)
        precision = {"float32": "highest", "tf32": "high", "bf16": "medium"}
        torch.set_float32_matmul_precision(precision[self.matrix_products])


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite before any epoch was usable."""
