"""One epoch of a small network with hidden layers as one compiled loop, as `linear` is one of a
linear network.

With a few hundred genes a step is a few hundred thousand multiplications, and PyTorch needs ten
times as long to start its operations; at a thousand genes it still needs up to three times as long.
Which units dropout keeps is a function of a seed and of Adam's count of steps, so no generator is
to be kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from beyondlinear.models.compiled.adam import Trained, adam_settings, adam_states
from beyondlinear.models.compiled.rows import epoch_rows, row_source
from beyondlinear.models.compiled.small_net_kernels import NetSettings, Running, epoch, losses
from beyondlinear.models.datamodule import Batches
from beyondlinear.models.losses import Loss, hinge
from beyondlinear.models.networks import FiveLayer, ThreeLayer

# weights: five_layer of 1,030 genes, three_layer of 1,380. With more they leave the cache, and the
# products of a library win.
LARGEST = 1_200_000
WHICH = (
    f"its network is neither Linear nor a ThreeLayer or FiveLayer of at most {LARGEST:,} weights"
)


@dataclass(frozen=True)
class Layout:
    """widths: (n_layers + 1,) from genes to classes; hidden: the hidden layers' batch
    normalisations, if they have any."""

    widths: np.ndarray
    norms: list[nn.BatchNorm1d]
    dropout: float

    @property
    def settings(self) -> NetSettings:
        """What the compiled loops need to know; without normalisations eps and momentum are 0."""
        eps = 0.0
        momentum = 0.0
        if self.norms:
            eps = self.norms[0].eps
            momentum = self.norms[0].momentum or 0.0
        return NetSettings(
            widths=self.widths,
            normalised=bool(self.norms),
            share=np.float32(1 - self.dropout),
            eps=np.float32(eps),
            momentum=np.float32(momentum),
        )


def layout(network: nn.Module) -> Layout | None:
    """Of a network that is trained as it is written here."""
    if type(network) not in (ThreeLayer, FiveLayer):
        return None
    layers = list(network.layers)  # type: ignore[arg-type]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm1d)]
    dropout = {layer.p for layer in layers if isinstance(layer, nn.Dropout)}
    widths = np.array([layer.in_features for layer in linear] + [linear[-1].out_features])
    if len(dropout) != 1 or max(dropout) >= 1 or int((widths[1:] * widths[:-1]).sum()) > LARGEST:
        return None
    return Layout(widths, norms, dropout.pop())


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    class_weights: Tensor,
    gradient_clip: float | None,
    batches: Batches,
    seed: int,
) -> float:
    """Update the network on every batch, Adam's state and running statistics with it; the mean of
    the samples' weighted losses, each from before its update.

    :param gradient_clip: largest norm of an update's gradient, None: any
    :param seed: of the units that dropout keeps
    :raises ValueError: a batch of one sample, which batch normalisation has no variance of
    """
    found = layout(network)
    assert found is not None
    if found.norms and len(batches.codes) // batches.n_batches < 2:
        raise ValueError(
            "batch normalisation needs batches of at least two samples; raise the batch size"
        )
    parameters = list(network.parameters())
    states = adam_states(optimizer, parameters)
    values = [p.data for p in parameters]
    means = [state["exp_avg"] for state in states]
    squares = [state["exp_avg_sq"] for state in states]
    trained = Trained(_joined(values), _joined(means), _joined(squares))
    running = _running(found)
    total = epoch(
        epoch_rows(batches),
        trained,
        running,
        found.settings,
        class_weights.numpy(),
        loss is hinge,
        np.inf if gradient_clip is None else gradient_clip,
        np.uint64(seed),
        adam_settings(optimizer, states[0]),
    )
    _put_back(trained.values, values)
    _put_back(trained.mean, means)
    _put_back(trained.square, squares)
    _put_back(running.mean, [_tensor(norm.running_mean) for norm in found.norms])
    _put_back(running.variance, [_tensor(norm.running_var) for norm in found.norms])
    for norm in found.norms:
        _tensor(norm.num_batches_tracked).add_(batches.n_batches)
    for state in states:
        state["step"] += batches.n_batches
    return float(total) / len(batches.codes)


def mean_loss(network: nn.Module, loss: Loss, class_weights: Tensor, batches: Batches) -> float:
    """Mean of the samples' weighted losses without dropout and with running statistics, on one
    thread: the same bits however many fits are under way."""
    found = layout(network)
    assert found is not None
    codes = batches.codes.numpy()
    total = losses(
        row_source(batches.x, np.arange(len(codes))),
        codes,
        _joined([p.data for p in network.parameters()]),
        _running(found),
        found.settings,
        class_weights.numpy(),
        loss is hinge,
    )
    return float(total) / len(codes)


def _joined(tensors: list[Tensor]) -> np.ndarray:
    """(n_values,) float32, a copy of all values one tensor after another."""
    if not tensors:
        return np.empty(0, np.float32)
    return torch.cat([t.reshape(-1) for t in tensors]).numpy()


def _put_back(joined: np.ndarray, tensors: list[Tensor]) -> None:
    """What `_joined` made of these tensors, back into them."""
    if not tensors:
        return
    parts = torch.from_numpy(joined).split([t.numel() for t in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def _running(found: Layout) -> Running:
    """Copies of the normalisations' running means and variances."""
    return Running(
        mean=_joined([_tensor(norm.running_mean) for norm in found.norms]),
        variance=_joined([_tensor(norm.running_var) for norm in found.norms]),
    )


def _tensor(buffer: Tensor | None) -> Tensor:
    """A statistic of a normalisation; the networks of `layout` keep them all."""
    assert buffer is not None
    return buffer
