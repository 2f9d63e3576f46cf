"""A trained model as it lies beside a fit's predictions (results.keep_model=true): genes, scaling,
eraser and weights, in arrays that hold no code. Applied to new samples it gives what the fit would
have given."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from beyondlinear.data.scaling import Preparation
from beyondlinear.models.interface import FitResult, Optimum
from beyondlinear.models.network_model import predict
from beyondlinear.models.networks import FiveLayer, Linear, ThreeLayer
from beyondlinear.models.probabilities import softmax
from beyondlinear.records.completeness import KEPT_MODEL
from beyondlinear.records.record import ComposedConfig, FitRecord
from beyondlinear.records.store import load_record
from beyondlinear.removal.erasers import Eraser
from beyondlinear.runtime.errors import ResultsError

WEIGHT = "weight:"  # before the name of a network's tensor

# The classes that a saved model may be rebuilt as. A record is a file that anybody may have
# written: what it names is looked up here and never imported.
_NETWORKS: dict[str, type[nn.Module]] = {
    "Linear": Linear,
    "ThreeLayer": ThreeLayer,
    "FiveLayer": FiveLayer,
}


def model_arrays(
    result: FitResult, preparation: Preparation, gene_ids: np.ndarray
) -> dict[str, np.ndarray]:
    """What `SavedModel.read` reads; nothing for models that are no network and not linear (a
    forest, a kernel machine).

    :param gene_ids: (n_genes,) str, of the genes before selection
    """
    arrays = {}
    if result.network is not None:
        for name, tensor in result.network.state_dict().items():
            arrays[f"{WEIGHT}{name}"] = tensor.cpu().numpy()
    elif result.optimum is not None and result.optimum.coefficients is not None:
        weight, bias = _as_linear_layer(result.optimum, result.optimum.coefficients)
        arrays[f"{WEIGHT}layer.weight"] = weight
        arrays[f"{WEIGHT}layer.bias"] = bias
    else:
        return {}
    genes = gene_ids if preparation.genes is None else gene_ids[preparation.genes]
    arrays[KEPT_MODEL] = np.asarray(genes, dtype=np.str_)
    if preparation.shift is not None and preparation.factor is not None:
        arrays["model_shift"] = preparation.shift
        arrays["model_factor"] = preparation.factor
    return arrays


def _as_linear_layer(optimum: Optimum, coefficients: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(n_classes, n_genes) and (n_classes,) float32; one vector s as −s/2 and s/2, whose softmax is
    its sigmoid."""
    weight = coefficients.numpy().T
    bias = optimum.intercepts.numpy()
    if len(weight) == 1:
        weight = np.concatenate([-weight / 2, weight / 2])
        bias = np.concatenate([-bias / 2, bias / 2])
    return weight.astype(np.float32), bias.astype(np.float32)


@dataclass(frozen=True)
class SavedModel:
    """A model and all that its input goes through. gene_ids: (n_genes,) str; shift: (n_classes,)
    added to the scores before the softmax; calibrated: whether that softmax gives probabilities."""

    record: FitRecord
    gene_ids: np.ndarray
    preparation: Preparation
    eraser: Eraser | None
    network: nn.Module
    classes: list[str]
    shift: np.ndarray
    calibrated: bool

    @classmethod
    def read(cls, path: str | Path) -> "SavedModel":
        """:param path: of a record, STORE/ab/KEY.json
        :raises ResultsError: no record of a done fit, no model beside it, a network that is none of
            ours, or a removal that new samples cannot go through"""
        record, arrays = load_record(path)
        if arrays is None:
            raise ResultsError(
                f"{path} is no record of a done fit; give one of …/records/ab/KEY.json, or a run"
                " directory"
            )
        if KEPT_MODEL not in arrays:
            raise ResultsError(
                f"{path} holds no model ({record['names']['model']}). Models are kept where"
                " results.keep_model=true (networks and linear models, never a forest or a kernel"
                " machine); give the run again with it, and its fits are made again with their"
                " models"
            )
        removal = record["names"]["signal_removal"]
        eraser = Eraser.from_arrays(arrays)
        if removal != "none" and eraser is None:
            raise ResultsError(
                f"signal_removal={removal} needs the labels of the samples or looks at all of them"
                " together, so that new samples cannot go through it; use a fit with"
                " signal_removal=none, leace, projection or quadratic"
            )
        classes = [str(c) for c in arrays["classes"]]
        gene_ids = arrays[KEPT_MODEL]
        return cls(
            record=record,
            gene_ids=gene_ids,
            preparation=Preparation(None, arrays.get("model_shift"), arrays.get("model_factor")),
            eraser=eraser,
            network=_network(record, arrays, len(gene_ids), len(classes)),
            classes=classes,
            shift=_log_frequencies(record, classes),
            calibrated=record["model"]["probabilities"],
        )

    def prepare(self, x: np.ndarray, gene_ids: np.ndarray) -> np.ndarray:
        """(n_samples, n_genes) float32 as the network sees it; columns are matched by id, others
        left out.

        :raises ResultsError: genes are missing, which are named
        """
        column_of = {str(gene): column for column, gene in enumerate(gene_ids)}
        missing = [str(gene) for gene in self.gene_ids if str(gene) not in column_of]
        if missing:
            first = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
            raise ResultsError(
                f"the model was fitted on {len(self.gene_ids):,} genes, and {len(missing):,} of"
                f" them are missing here ({first}); it cannot be applied without them"
            )
        columns = np.array([column_of[str(gene)] for gene in self.gene_ids])
        own_genes = np.ascontiguousarray(x[:, columns], dtype=np.float32)
        prepared = self.preparation.apply(own_genes, np.arange(len(x)))
        if self.eraser is None:
            return prepared
        return self.eraser.apply(prepared, out=prepared)

    def scores(self, x: np.ndarray, gene_ids: np.ndarray) -> np.ndarray:
        """(n_samples, n_classes), larger is likelier."""
        return predict(self.network, self.prepare(x, gene_ids))

    def probabilities(self, scores: np.ndarray) -> np.ndarray | None:
        """(n_samples, n_classes); None for a hinge loss, whose scores would need calibration."""
        return softmax(scores + self.shift) if self.calibrated else None


def _log_frequencies(record: FitRecord, classes: list[str]) -> np.ndarray:
    """(n_classes,) what class weights took from the scores (see `FitData.log_frequencies`); zeros
    for a model without them."""
    if not record["config"]["model"].get("class_weights", True):
        return np.zeros(len(classes))
    n_train = record["counts"]["per_class"]["train"]
    counts = np.array([n_train[c] for c in classes], dtype=np.float64)
    return np.log(counts / counts.sum())


def _network(
    record: FitRecord, arrays: Mapping[str, np.ndarray], n_genes: int, n_classes: int
) -> nn.Module:
    """The network with the weights among the arrays.

    :raises ResultsError: a network that is none of ours, or weights that are not its own
    """
    with torch.random.fork_rng(devices=[]):
        network = _untrained_network(record, n_genes, n_classes)
    weights = {
        name.removeprefix(WEIGHT): torch.from_numpy(values)
        for name, values in arrays.items()
        if name.startswith(WEIGHT)
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as e:
        raise ResultsError(
            f"{record['key']}: the weights beside the record are not those of"
            f" {type(network).__name__}: {e}"
        ) from e
    return network.eval()


def _untrained_network(record: FitRecord, n_genes: int, n_classes: int) -> nn.Module:
    if record["model"]["certified"]:
        return Linear(n_genes, n_classes)
    model: ComposedConfig = record["config"]["model"]
    node = model.get("network") or model.get("module") or model
    target = str(node.get("_target_", ""))
    network_class = _NETWORKS.get(target.rpartition(".")[2])
    if network_class is None or not target.startswith("beyondlinear."):
        raise ResultsError(
            f"{record['key']}: its network is {target}, which is none of"
            f" {', '.join(_NETWORKS)}. A model is rebuilt from a class of this package alone, since"
            " a record must not choose what code runs; build yours yourself and load the arrays"
            f" named {WEIGHT}… of the .npz beside the record"
        )
    known = inspect.signature(network_class).parameters
    arguments = {name: value for name, value in node.items() if name in known}
    return network_class(n_genes, n_classes, **arguments)
