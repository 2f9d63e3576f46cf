"""Tensors in memory, batches by index: no per-sample Python, no worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from beyondlinear.view import Matrix, View, dense

EVALUATION_BATCH = 512  # rows; bounds the memory of hidden activations and of views


@dataclass(frozen=True)
class Part:
    """x: (n, n_genes) float32, prepared, or a view that prepares it; codes: (n,) int64; rows: (n,) positions in the samples."""

    x: Matrix
    codes: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


class Batches:
    """All batches of one pass over (x, codes), by index on the device they lie on.

    Batches differ in size by at most one sample, so that a batch size of 3 or more leaves none with a single sample (batch
    normalisation has no variance there). A generator makes each pass a new random order; without one the order is the data's.
    """

    def __init__(
        self, x: Tensor | View, codes: Tensor, batch_size: int, generator: torch.Generator | None = None
    ) -> None:
        self.x, self.codes, self.generator = x, codes, generator
        self.n_batches = max(1, -(-len(codes) // batch_size))

    def __len__(self) -> int:
        return self.n_batches

    @property
    def largest(self) -> int:
        """Samples in the largest batch."""
        return -(-len(self.codes) // self.n_batches)

    def order(self) -> Tensor:
        """(n,) the rows of the next pass, in order."""
        n = len(self.codes)
        return torch.arange(n) if self.generator is None else torch.randperm(n, generator=self.generator)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.x, View):
            for index in torch.tensor_split(self.order(), self.n_batches):
                yield torch.from_numpy(self.x.take(index.numpy())), self.codes[index]
            return
        if self.generator is None:
            yield from zip(self.x.tensor_split(self.n_batches), self.codes.tensor_split(self.n_batches), strict=True)
            return
        for index in torch.tensor_split(self.order().to(self.codes.device), self.n_batches):
            yield self.x.index_select(0, index), self.codes[index]


@dataclass(frozen=True)
class Pass:
    """What one epoch needs: the batches to learn from, and the tune part's, in order."""

    fit: Batches
    tune: Batches | None


class Whole:
    """A loader whose one batch is the whole epoch."""

    def __init__(self, epoch: Any) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        return iter([self.epoch])


class PartsDataModule(pl.LightningDataModule):
    """The fit and tune part of one fit.

    One fit is one module; training several fits together means stacking several of these, which is why everything a
    fit needs, its batch order included, is in here and nothing of it is global.
    """

    def __init__(self, fit: Part, tune: Part | None, batch_size: int, order_seed: int) -> None:
        super().__init__()
        self.fit_part, self.tune_part, self.batch_size = fit, tune, batch_size
        self.generator = torch.Generator().manual_seed(order_seed)

    def train_dataloader(self) -> Whole:
        return Whole(self.passes())

    def passes(self) -> Pass:
        """What each epoch needs; without a Trainer on the CPU."""
        fit = Batches(*self._on_device(self.fit_part), self.batch_size, self.generator)
        tune = Batches(*self._on_device(self.tune_part), EVALUATION_BATCH) if self.tune_part is not None else None
        return Pass(fit, tune)

    def transfer_batch_to_device(self, batch: Pass, device: torch.device, dataloader_idx: int) -> Pass:
        """All of it lies there already."""
        return batch

    def state_dict(self) -> dict[str, Tensor]:
        return {"order": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.generator.set_state(state_dict["order"])

    def _on_device(self, part: Part) -> tuple[Tensor | View, Tensor]:
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        codes = torch.from_numpy(part.codes).to(device)
        if isinstance(part.x, View) and device.type == "cpu":
            return part.x, codes
        return torch.from_numpy(dense(part.x)).to(device), codes
