"""Tensors in memory, batches by index: no per-sample Python, no worker processes."""

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor

from beyondlinear.data.scaled_rows import ScaledRows, dense
from beyondlinear.models.interface import Part

EVALUATION_BATCH = 512  # rows; bounds the memory of hidden activations and of scaled rows


class Batches:
    """All batches of one pass over (x, codes), by index on the device they lie on.

    Batches differ in size by at most one sample, so that a batch size of 3 or more leaves none with
    a single sample (batch normalisation has no variance there). A generator makes each pass a new
    random order; without one the order is the data's.
    """

    def __init__(
        self,
        x: Tensor | ScaledRows,
        codes: Tensor,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        self.x = x
        self.codes = codes
        self.generator = generator
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
        if self.generator is None:
            return torch.arange(n)
        return torch.randperm(n, generator=self.generator)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.x, ScaledRows):
            for index in torch.tensor_split(self.order(), self.n_batches):
                yield torch.from_numpy(self.x.take(index.numpy())), self.codes[index]
            return
        if self.generator is None:
            yield from zip(
                self.x.tensor_split(self.n_batches),
                self.codes.tensor_split(self.n_batches),
                strict=True,
            )
            return
        for index in torch.tensor_split(self.order().to(self.codes.device), self.n_batches):
            yield self.x.index_select(0, index), self.codes[index]


class PartsDataModule(pl.LightningDataModule):
    """The train and validation part of one fit, on the device that trains.

    The generator of the batch order is this fit's own and lies in its checkpoint.
    """

    def __init__(
        self, train: Part, validation: Part | None, batch_size: int, order_seed: int
    ) -> None:
        super().__init__()
        self.train_part = train
        self.validation_part = validation
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(order_seed)

    def train_dataloader(self) -> Batches:
        return self._batches(self.train_part, self.batch_size, self.generator)

    def val_dataloader(self) -> Batches | list[Batches]:
        if self.validation_part is None:
            return []
        return self._batches(self.validation_part, EVALUATION_BATCH, None)

    def state_dict(self) -> dict[str, Tensor]:
        return {"order": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.generator.set_state(state_dict["order"])

    def _batches(self, part: Part, size: int, generator: torch.Generator | None) -> Batches:
        device = torch.device("cpu")
        if self.trainer is not None:
            device = self.trainer.strategy.root_device
        if device.type == "cpu":
            return part_batches(part, size, generator)
        x = torch.from_numpy(dense(part.x)).to(device)
        return Batches(x, torch.from_numpy(part.codes).to(device), size, generator)


def part_batches(part: Part, size: int, generator: torch.Generator | None = None) -> Batches:
    """Batches of a part in main memory."""
    x = part.x if isinstance(part.x, ScaledRows) else torch.from_numpy(part.x)
    return Batches(x, torch.from_numpy(part.codes), size, generator)
