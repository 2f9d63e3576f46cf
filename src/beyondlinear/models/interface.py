"""What every model is given for one fit, and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from beyondlinear.data.scaled_rows import Matrix, dense
from beyondlinear.runtime.errors import ConfigError
from beyondlinear.runtime.seeds import stream_seed

if TYPE_CHECKING:
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger
    from torch import nn

Precision = Literal["32-true", "16-true", "bf16-true", "64-true", "16-mixed", "bf16-mixed"]


@dataclass(frozen=True)
class Part:
    """Some of a fit's samples.

    x: (n, n_genes) float32, prepared, or rows that are prepared when they are read; codes: (n,)
    int64 classes; rows: (n,) positions in the task's samples.
    """

    x: Matrix
    codes: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Gram:
    """Inner products of the rows of one training set with each other, and of further rows with
    them.

    train: (n, n) float64, not centred; others: part → (n_part, n) float64.
    """

    train: Tensor
    others: dict[str, Tensor]


@dataclass(frozen=True)
class Optimum:
    """A certified solution. coefficients: (n_genes, k) float64 of the prepared genes, None where
    only inner products are known; intercepts: (k,), for x as it is, not centred."""

    penalty: float
    coefficients: Tensor | None
    intercepts: Tensor
    objective: float
    relative_gradient: float
    steps: int


@dataclass(frozen=True)
class FitSeeds:
    """The seeds of one training: numbers, each from a stream of its own (see runtime/seeds.py)."""

    initialisation: int
    dropout: int
    batch_order: int
    estimator: int

    @classmethod
    def drawn(
        cls, seed: int, *keys: int | float | str, initialisation: Sequence[int | float | str] = ()
    ) -> "FitSeeds":
        """:param keys: what tells this training from the others of a run, e.g. fold and fraction
        :param initialisation: keys of the initial weights alone, where trainings share them
        """
        return cls(
            initialisation=stream_seed(seed, "initialisation", *(initialisation or keys)),
            dropout=stream_seed(seed, "dropout", *keys),
            batch_order=stream_seed(seed, "batch order", *keys),
            estimator=stream_seed(seed, "estimator", *keys),
        )


@dataclass(frozen=True)
class FitData:
    """All that a model is given for one fit: the test features, never the codes of their labels.

    gram: inner products of the prepared rows, where fits of a run share them; a linear solver then
    needs no genes.
    """

    train: Part
    validation: Part | None
    test_x: Matrix
    n_classes: int
    seeds: FitSeeds
    gram: Gram | None = None

    def dense(self) -> "FitData":
        """The same with arrays in place of rows that are scaled when they are read."""
        validation = self.validation
        if validation is not None:
            validation = replace(validation, x=dense(validation.x))
        train = replace(self.train, x=dense(self.train.x))
        return replace(self, train=train, validation=validation, test_x=dense(self.test_x))

    def class_weights(self) -> np.ndarray:
        """(n_classes,) inverse class frequencies of the train part, n/(K·n_c): the samples' mean
        weight is 1."""
        counts = np.bincount(self.train.codes, minlength=self.n_classes)
        return len(self.train) / (self.n_classes * counts)

    def log_frequencies(self) -> np.ndarray:
        """(n_classes,) log shares of the classes in the train part. Class weights train a model as
        if classes were equally common; added to its scores these give back the probabilities of the
        data as they are (Saerens et al. 2002).
        """
        return np.log(np.bincount(self.train.codes, minlength=self.n_classes) / len(self.train))


@dataclass(frozen=True)
class FitResult:
    """What a trained model says of the validation and test parts, and how it came to it.

    scores: (n, n_classes), larger is likelier; probabilities: None where they need calibration on
    the validation part; rows_used: fitted step (one of the audit's STEPS) → rows it learnt from;
    arrays: what is to be kept beside the predictions; network, optimum: the trained model itself.
    """

    scores: np.ndarray
    probabilities: np.ndarray | None
    validation_scores: np.ndarray | None
    hyperparameters: dict[str, Any]
    rows_used: dict[str, np.ndarray]
    training: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    network: "nn.Module | None" = None
    optimum: Optimum | None = None


@dataclass(frozen=True)
class ModelProperties:
    """What a model states about itself. Its record carries this, and every comparison goes by it,
    never by a name.

    linear: its scores are linear functions of the genes; certified: it is solved to a certified
    optimum; probabilities: its scores give probabilities without calibration; coefficients: what it
    keeps is one coefficient a gene and class.
    """

    linear: bool
    certified: bool = False
    probabilities: bool = False
    coefficients: bool = False


@dataclass(frozen=True)
class TrainerConfig:
    """How long and on what a fit trains; conf/trainer/_base.yaml explains the keys."""

    accelerator: Literal["cpu", "gpu"]
    threads: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    gradient_clip: Annotated[float, Field(gt=0)] | None
    max_epochs: Annotated[int, Field(ge=1)]
    patience: Annotated[int, Field(ge=1)]
    stop_below: float | None
    epochs_without_validation: Annotated[int, Field(ge=1)]
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10
    matrix_products: Literal["float32", "tf32", "bf16"] = "float32"
    deterministic: bool = True
    engine: Literal["auto", "lightning", "compiled"] = "auto"
    precision: Precision = "32-true"
    devices: int | list[int] = 1
    callbacks: "Sequence[Callback]" = ()

    def __post_init__(self) -> None:
        several = len(self.devices) != 1 if isinstance(self.devices, list) else self.devices != 1
        if several:
            raise ConfigError(
                f"trainer.devices: {self.devices} is not one device. A fit trains on one, where its"
                " data lie; give 1, or the number of a GPU in brackets, as [1]. Several fits train"
                " side by side as jobs of a sweep"
            )
        for callback in self.callbacks:
            if isinstance(callback, Mapping):
                raise ConfigError(
                    f"trainer.callbacks: {dict(callback)} has no _target_; a callback is a node"
                    " that names its class, as {_target_: my_package.MyCallback, …}"
                )

    def epochs_at_most(self, has_validation: bool) -> int:
        """Epochs of a fit that nothing stops before."""
        return self.max_epochs if has_validation else self.epochs_without_validation

    def set_up(self) -> None:
        """Make torch of this process as these keys say.

        :raises ConfigError: a GPU is asked for and torch sees none
        """
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            built = (
                "was built without CUDA"
                if torch.version.cuda is None
                else f"was built for CUDA {torch.version.cuda}"
            )
            raise ConfigError(
                f"trainer.accelerator=gpu: torch {torch.__version__} {built} and sees no GPU; run"
                " where nvidia-smi lists one, with a CUDA build of torch, or take trainer=cpu"
            )
        torch.set_num_threads(self.threads)
        precision = {"float32": "highest", "tf32": "high", "bf16": "medium"}
        torch.set_float32_matmul_precision(precision[self.matrix_products])


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite before any epoch was usable."""


class Model(Protocol):
    """What the path of a run asks of a model. It asks these, never for a class or a name."""

    @property
    def properties(self) -> ModelProperties:
        """What the model states about itself."""

    @property
    def reads_scaled_rows(self) -> bool:
        """Whether parts may be `ScaledRows` in place of arrays."""

    @property
    def can_pretrain(self) -> bool:
        """Whether a fit may start from the network of another (`start`)."""

    @property
    def tuned_by(self) -> Literal["search", "path"] | None:
        """How nested tuning chooses its hyperparameters: "search" tries sets of them, "path" solves
        one path of penalties an inner fold; None: there is nothing to tune."""

    @property
    def needs_no_genes(self) -> bool:
        """Whether `FitData.gram` is all that a fit needs."""

    @property
    def report_optimum(self) -> float | None:
        """Up to which size a fit is compared with the certified optimum of its problem."""

    def runs_on_one_thread(self, trainer: TrainerConfig, n_genes: int, n_classes: int) -> bool:
        """Whether fits of this model may run on threads beside each other: each takes one thread,
        touches nothing global, and ends in the bits that it ends in alone.

        :raises ConfigError: trainer.engine asks for what this model cannot do
        """

    def fit(
        self,
        data: FitData,
        trainer: TrainerConfig,
        logger: "Logger | list[Logger] | None" = None,
        on_epoch: Callable[[int, int], None] | None = None,
        start: "nn.Module | None" = None,
        checkpoint: Path | None = None,
    ) -> FitResult:
        """Fit on data.train and score the test rows.

        :param logger: told of the losses of each epoch
        :param on_epoch: told after each epoch how many were made and how many may come at most
        :param start: a trained network to go on from, where `can_pretrain`
        :param checkpoint: where a training in epochs saves its state and goes on from; models
            without epochs ignore it
        """
