"""Networks as models: how a fit of one is trained, stopped and scored."""

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from pytorch_lightning.loggers import Logger
from torch import nn

from beyondlinear.data.scaled_rows import Matrix, blocks
from beyondlinear.models.compiled.engine import MAY_BE_COMPILED, train_compiled
from beyondlinear.models.datamodule import EVALUATION_BATCH
from beyondlinear.models.engine import choose_engine
from beyondlinear.models.interface import FitData, FitResult, ModelProperties, TrainerConfig
from beyondlinear.models.lightning_module import Classifier
from beyondlinear.models.losses import LOSSES
from beyondlinear.models.probabilities import softmax
from beyondlinear.models.trainer import train_with_lightning
from beyondlinear.models.training_state import TrainingState
from beyondlinear.runtime.errors import ConfigError, choices

LARGEST_LR = 0.03  # that scaling up for few genes may reach; beyond it Adam jumps between solutions
# torch's layers draw their initial weights from its one global generator
_ONE_INITIALISATION_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class NetworkModel:
    """A network trained on the train part and stopped by the validation part.

    network: called with (n_genes, n_classes); optimizer: called with the parameters. lr_at_genes:
    the optimizer's lr is meant for this many genes and is used times lr_at_genes/n_genes; None uses
    it as it is. An Adam step moves every weight by about lr, so a score by about lr·Σ|x|, which
    grows with the number of genes.
    search: ranges of the optimizer's lr and weight_decay for nested tuning. report_optimum: a
    linear network is compared with the certified optimum of its problem, up to this size of it.
    """

    network: Callable[..., nn.Module]
    loss: Literal["cross_entropy", "hinge"]
    optimizer: Callable[..., torch.optim.Optimizer]
    lr_at_genes: Annotated[int, Field(ge=1)] | None = None
    search: Mapping[str, object] | None = None
    report_optimum: Annotated[float, Field(gt=0)] | None = None

    reads_scaled_rows: ClassVar[bool] = True
    can_pretrain: ClassVar[bool] = True
    needs_no_genes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        known = self.hyperparameters()
        for name in self.search or {}:
            if name not in known:
                raise ConfigError(
                    f"model.search.{name}: the optimizer has no such value to tune."
                    f" {choices(name, known)}"
                )
        if self.report_optimum is not None and not self.properties.linear:
            raise ConfigError(
                "model.report_optimum compares linear networks with their optimum; set it to null"
                " for this model"
            )

    @property
    def properties(self) -> ModelProperties:
        linear = bool(getattr(self._network_class, "is_linear", False))
        return ModelProperties(
            linear=linear, probabilities=self.loss == "cross_entropy", coefficients=linear
        )

    @property
    def tuned_by(self) -> Literal["search"] | None:
        return "search" if self.search else None

    def with_hyperparameters(self, **values: float) -> "NetworkModel":
        """The same model with these arguments of its optimizer."""
        return replace(self, optimizer=functools.partial(self.optimizer, **values))

    def hyperparameters(self) -> dict[str, float]:
        """The optimizer's arguments that tuning may choose, as they are now."""
        given = getattr(self.optimizer, "keywords", {})
        return {name: given[name] for name in given if name in ("lr", "weight_decay")}

    def runs_on_one_thread(self, trainer: TrainerConfig, n_genes: int, n_classes: int) -> bool:
        """Whether the compiled engine trains this model on data of these sizes.

        :raises ConfigError: trainer.engine=compiled, and it cannot
        """
        if trainer.engine != "compiled" and self._network_class not in MAY_BE_COMPILED:
            return False
        with torch.device("meta"):  # sizes without weights
            network = self.network(n_genes, n_classes)
        optimizer = self._optimizer(n_genes)(network.parameters())
        return choose_engine(trainer, network, optimizer, LOSSES[self.loss]) == "compiled"

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

        :param start: a trained network whose weights this one starts from; None: a new
            initialisation
        :param checkpoint: where a long training is saved, and from where it goes on if it was
            stopped
        :raises TrainingDiverged: no epoch gave a finite loss
        :raises ConfigError: trainer.engine=compiled, and it cannot train this network
        """
        n_genes = data.train.x.shape[1]
        network = self._initial_network(n_genes, data, start)
        make_optimizer = self._optimizer(n_genes)
        optimizer = make_optimizer(network.parameters())
        loss = LOSSES[self.loss]
        engine = choose_engine(trainer, network, optimizer, loss)
        if engine == "compiled":
            state = train_compiled(
                network, optimizer, loss, data, trainer, logger, on_epoch, checkpoint
            )
        else:
            class_weights = torch.from_numpy(data.class_weights()).float()
            module = Classifier(network, loss, make_optimizer, class_weights)
            state = train_with_lightning(module, data, trainer, logger, on_epoch, checkpoint)
        group = optimizer.param_groups[0]
        hyperparameters = {
            "lr": group["lr"],
            "weight_decay": group["weight_decay"],
            "batch_size": trainer.batch_size,
            "n_parameters": sum(p.numel() for p in network.parameters()),
        }
        scores = predict(network, data.test_x)
        probabilities = None
        if self.properties.probabilities:
            probabilities = softmax(scores + data.log_frequencies())
        return FitResult(
            scores=scores,
            probabilities=probabilities,
            validation_scores=validation_scores(network, data),
            hyperparameters=hyperparameters,
            rows_used=rows_used_by_training(data),
            training={
                **state.record(engine),
                "beats_constant": self._beats_constant(state, data),
            },
            network=network,
        )

    def weighted_loss(
        self, scores: np.ndarray, codes: np.ndarray, class_weights: np.ndarray
    ) -> float:
        """Mean loss of (n, n_classes) scores, each sample weighted by its class; in float64."""
        y = torch.from_numpy(codes)
        losses = LOSSES[self.loss](torch.from_numpy(np.asarray(scores, dtype=np.float64)), y)
        return float((torch.from_numpy(class_weights)[y] * losses).mean())

    @property
    def _network_class(self) -> object:
        """What stands behind a partial."""
        return getattr(self.network, "func", self.network)

    def _initial_network(self, n_genes: int, data: FitData, start: nn.Module | None) -> nn.Module:
        with _ONE_INITIALISATION_AT_A_TIME, torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(data.seeds.initialisation)
            network = self.network(n_genes, data.n_classes)
        if start is not None:
            network.load_state_dict(start.state_dict())
        return network

    def _beats_constant(self, state: TrainingState, data: FitData) -> bool | None:
        """Whether the best validation loss is below that of equal scores for all classes, which
        takes no training."""
        if data.validation is None:
            return None
        nothing = np.zeros((len(data.validation), data.n_classes))
        constant = self.weighted_loss(nothing, data.validation.codes, data.class_weights())
        return state.best_loss < constant

    def _optimizer(self, n_genes: int) -> Callable[..., torch.optim.Optimizer]:
        if self.lr_at_genes is None:
            return self.optimizer
        lr = getattr(self.optimizer, "keywords", {}).get("lr")
        if lr is None:
            raise ConfigError(
                "model.lr_at_genes scales model.optimizer.lr, which is not set; set it, or"
                " lr_at_genes=null"
            )
        scaled = min(lr * self.lr_at_genes / n_genes, max(lr, LARGEST_LR))
        return functools.partial(self.optimizer, lr=scaled)


def rows_used_by_training(data: FitData) -> dict[str, np.ndarray]:
    """Which rows a network's training learns from, by step."""
    rows = {"class weights": data.train.rows, "weights": data.train.rows}
    if data.validation is not None:
        rows["stopping"] = data.validation.rows
    return rows


def validation_scores(network: nn.Module, data: FitData) -> np.ndarray | None:
    if data.validation is None:
        return None
    return predict(network, data.validation.x)


def predict(network: nn.Module, x: Matrix) -> np.ndarray:
    """Scores of all rows in evaluation mode (no dropout, running batch statistics); (n, n_classes)
    float32."""
    network.eval()
    weights = next(network.parameters())
    chunks = []
    with torch.inference_mode():
        for block in blocks(x, EVALUATION_BATCH):
            rows = torch.from_numpy(block).to(weights.device, weights.dtype)
            chunks.append(network(rows).cpu().float())
    return torch.cat(chunks).numpy()
