"""A trained model as it lies beside a fit's predictions (results.keep_model=true): genes, scaling, eraser and weights, in
arrays that hold no code. Applied to new samples it gives what the fit would have given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from beyondlinear.classifier import NetworkModel, predict
from beyondlinear.config import build
from beyondlinear.errors import ResultsError
from beyondlinear.metrics import softmax
from beyondlinear.networks import Linear
from beyondlinear.removal.erasers import Eraser
from beyondlinear.results import stored
from beyondlinear.scaling import Preparation
from beyondlinear.training import Outcome

WEIGHT = "weight:"  # before the name of a network's tensor


def model_arrays(outcome: Outcome, preparation: Preparation, gene_ids: np.ndarray) -> dict[str, np.ndarray]:
    """What `StoredModel.read` reads; nothing for models that are no network and not linear (a forest, a kernel machine)."""
    if outcome.network is not None:
        arrays = {f"{WEIGHT}{name}": value.cpu().numpy() for name, value in outcome.network.state_dict().items()}
    elif outcome.optimum is not None and outcome.optimum.coefficients is not None:
        arrays = {f"{WEIGHT}layer.{k}": v for k, v in _as_linear(outcome.optimum).items()}
    else:
        return {}
    genes = gene_ids if preparation.genes is None else gene_ids[preparation.genes]
    arrays["model_gene_ids"] = np.asarray(genes, dtype=np.str_)
    if preparation.shift is not None and preparation.factor is not None:
        arrays |= {"model_shift": preparation.shift, "model_factor": preparation.factor}
    return arrays


def _as_linear(optimum: Any) -> dict[str, np.ndarray]:
    """(n_classes, n_genes) and (n_classes,) float32; one vector s as −s/2 and s/2, whose softmax is its sigmoid."""
    w, b = optimum.coefficients.numpy().T, optimum.intercepts.numpy()
    if len(w) == 1:
        w, b = np.r_[-w / 2, w / 2], np.r_[-b / 2, b / 2]
    return {"weight": w.astype(np.float32), "bias": b.astype(np.float32)}


@dataclass(frozen=True)
class StoredModel:
    """A model and all that its input goes through. gene_ids: (n_genes,) str; shift: (n_classes,) added to the scores before
    the softmax; calibrated: whether that softmax gives probabilities."""

    record: dict[str, Any]
    gene_ids: np.ndarray
    preparation: Preparation
    eraser: Eraser | None
    network: nn.Module
    classes: list[str]
    shift: np.ndarray
    calibrated: bool

    @classmethod
    def read(cls, path: str | Path) -> "StoredModel":
        """:raises ResultsError: no record of a done fit, no model beside it, or a removal that new samples cannot go through"""
        record, arrays = stored(path)
        if arrays is None:
            raise ResultsError(
                f"{path} is no record of a done fit; give one of …/records/ab/KEY.json, or a run directory"
            )
        name, removal = record["names"]["model"], record["names"]["signal_removal"]
        if "model_gene_ids" not in arrays:
            raise ResultsError(
                f"{path} holds no model ({name}). Models are kept where results.keep_model=true (networks and linear models, "
                "never a forest or a kernel machine); give the run again with it and another results.store"
            )
        eraser = Eraser.from_arrays(arrays)
        if removal != "none" and eraser is None:
            raise ResultsError(
                f"signal_removal={removal} needs the labels of the samples or looks at all of them together, so that new "
                "samples cannot go through it; use a fit with signal_removal=none, train, train_projection or quadratic"
            )
        classes = [str(c) for c in arrays["classes"]]
        network = _network(record, arrays, len(classes))
        of_fit = record["counts"]["per_class"]["fit"]
        counts = np.array([of_fit[c] for c in classes], dtype=np.float64)
        loss = record["config"]["model"].get("loss")
        weighted = record["config"]["model"].get("class_weights", True)
        shift = np.log(counts / counts.sum()) if weighted else np.zeros(len(classes))
        scaling = Preparation(None, arrays.get("model_shift"), arrays.get("model_factor"))
        calibrated = loss in ("cross_entropy", "logistic")
        return cls(record, arrays["model_gene_ids"], scaling, eraser, network, classes, shift, calibrated)

    def prepare(self, x: np.ndarray, gene_ids: np.ndarray) -> np.ndarray:
        """(n_samples, n_genes) float32 as the network sees it; columns are matched by id, others left out.

        :raises ResultsError: genes are missing, which are named
        """
        known = {str(g): i for i, g in enumerate(gene_ids)}
        missing = [str(g) for g in self.gene_ids if str(g) not in known]
        if missing:
            raise ResultsError(
                f"the model was fitted on {len(self.gene_ids):,} genes, and {len(missing):,} of them are missing here "
                f"({', '.join(missing[:10])}{', …' if len(missing) > 10 else ''}); it cannot be applied without them"
            )
        columns = np.array([known[str(g)] for g in self.gene_ids])
        ready = self.preparation.apply(np.ascontiguousarray(x[:, columns], dtype=np.float32), np.arange(len(x)))
        return self.eraser.apply(ready, out=ready) if self.eraser is not None else ready

    def scores(self, x: np.ndarray, gene_ids: np.ndarray) -> np.ndarray:
        """(n_samples, n_classes), larger is likelier."""
        return predict(self.network, self.prepare(x, gene_ids))

    def probabilities(self, scores: np.ndarray) -> np.ndarray | None:
        """(n_samples, n_classes); None for a hinge loss, whose scores would need calibration."""
        return softmax(scores + self.shift) if self.calibrated else None


def _network(record: dict[str, Any], arrays: Mapping[str, np.ndarray], n_classes: int) -> nn.Module:
    model = build(OmegaConf.create(record["config"]["model"]))
    make = model.network if isinstance(model, NetworkModel) else Linear
    with torch.random.fork_rng(devices=[]):
        network = make(len(arrays["model_gene_ids"]), n_classes)
    weights = {k.removeprefix(WEIGHT): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(WEIGHT)}
    network.load_state_dict(weights)
    return network.eval()


def stored_models(where: str | Path) -> list[StoredModel]:
    """The model of a record, or those of a run directory at its largest fraction, one a fold.

    :raises ResultsError: none is there
    """
    from beyondlinear.report.reading import read

    where = Path(where)
    if where.suffix == ".json":
        return [StoredModel.read(where)]
    reading = read([where])
    done = reading.done
    kinds = done[["panel", "learner", "signal_removal", "control"]].drop_duplicates()
    if len(kinds) != 1:
        said = "; ".join(", ".join(map(str, row)) for row in kinds.itertuples(index=False))
        raise ResultsError(f"{where} holds {len(kinds)} kinds of finished fits, predict takes one: {said or 'none'}")
    done = done[done.fraction == done.fraction.max()]
    return [StoredModel.read(reading.stores[k].path(k)) for k in done.key]
