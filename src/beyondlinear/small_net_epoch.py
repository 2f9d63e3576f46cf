"""One epoch of a small network with hidden layers as one compiled loop, as `linear_epoch` is one of a linear network.

With a few hundred genes a step is a few hundred thousand multiplications, and PyTorch needs ten times as long to start its
operations; at a thousand genes it still needs up to three times as long. Which units dropout keeps is a function of a seed and
of Adam's count of steps, so no generator is to be kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from beyondlinear.datamodule import Batches
from beyondlinear.linear_epoch import Loss, adam_applies, source
from beyondlinear.losses import cross_entropy, hinge
from beyondlinear.networks import FiveLayer, ThreeLayer
from beyondlinear.small_net_loops import epoch, losses

# weights: five_layer of 1,030 genes, three_layer of 1,380. With more they leave the cache, and the products of a library win.
LARGEST = 1_200_000


@dataclass(frozen=True)
class Layout:
    """widths: (n_layers + 1,) from genes to classes; hidden: the hidden layers' batch normalisations, if they have any."""

    widths: np.ndarray
    norms: list[nn.BatchNorm1d]
    dropout: float

    @property
    def how(self) -> tuple[np.ndarray, bool, np.float32, np.float32, np.float32]:
        """widths, whether there are norms, the share of units that dropout keeps, epsilon and momentum of the norms."""
        eps, momentum = (self.norms[0].eps, self.norms[0].momentum or 0.0) if self.norms else (0.0, 0.0)
        return self.widths, bool(self.norms), np.float32(1 - self.dropout), np.float32(eps), np.float32(momentum)


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


def can_run(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss) -> bool:
    """Whether training with these is what is written here."""
    known = loss in (cross_entropy, hinge) and layout(network) is not None
    return known and adam_applies(optimizer, list(network.parameters()))


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    class_weights: Tensor,
    gradient_clip: float | None,
    batches: Batches,
    seed: int,
) -> float:
    """Update the network on every batch, Adam's state and running statistics with it; the mean of the samples' weighted
    losses, each from before its update.

    :param gradient_clip: largest norm of an update's gradient, None: any
    :param seed: of the units that dropout keeps
    :raises ValueError: a batch of one sample, which batch normalisation has no variance of
    """
    found = layout(network)
    assert found is not None
    if found.norms and len(batches.codes) // batches.n_batches < 2:
        raise ValueError("batch normalisation needs batches of at least two samples; raise the batch size")
    parameters = list(network.parameters())
    for p in parameters:
        if not optimizer.state[p]:
            zeros = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[p] = {"step": torch.zeros((), dtype=torch.float32), **zeros}
    states = [optimizer.state[p] for p in parameters]
    held = ([p.data for p in parameters], *([s[name] for s in states] for name in ("exp_avg", "exp_avg_sq")))
    flat = [_joined(tensors) for tensors in held]
    running = _running(found)
    order, group = batches.order(), optimizer.param_groups[0]
    sizes = [len(part) for part in torch.tensor_split(order, batches.n_batches)]
    total = epoch(
        (*source(batches.x, order.numpy()), batches.codes[order].numpy(), np.cumsum([0, *sizes])),
        (*flat, *running),
        found.how,
        (class_weights.numpy(), loss is hinge, np.inf if gradient_clip is None else gradient_clip, np.uint64(seed)),
        (group["lr"], *group["betas"], group["eps"], group["weight_decay"], int(states[0]["step"])),
    )
    for tensors, joined in zip(held, flat, strict=True):
        _parted(joined, tensors)
    for name, joined in zip(("running_mean", "running_var"), running, strict=True):
        _parted(joined, [getattr(norm, name) for norm in found.norms])
    for norm in found.norms:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += len(sizes)
    for state in states:
        state["step"] += len(sizes)
    return float(total) / len(batches.codes)


def mean_loss(network: nn.Module, loss: Loss, class_weights: Tensor, batches: Batches) -> float:
    """Mean of the samples' weighted losses without dropout and with running statistics, on one thread: the same bits however
    many fits are under way."""
    found = layout(network)
    assert found is not None
    codes = batches.codes.numpy()
    data = (*source(batches.x, np.arange(len(codes))), codes)
    weights = _joined([p.data for p in network.parameters()])
    held = (weights, *_running(found))
    return float(losses(data, held, found.how, class_weights.numpy(), loss is hinge)) / len(codes)


def _joined(tensors: list[Tensor]) -> np.ndarray:
    return torch.cat([t.reshape(-1) for t in tensors]).numpy() if tensors else np.empty(0, np.float32)


def _parted(joined: np.ndarray, tensors: list[Tensor]) -> None:
    parts = torch.from_numpy(joined).split([t.numel() for t in tensors]) if tensors else []
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def _running(found: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Running means and variances of the hidden layers, one after another."""
    mean, variance = ([getattr(norm, name) for norm in found.norms] for name in ("running_mean", "running_var"))
    return _joined(mean), _joined(variance)
