"""Adam on wide layers whose gradient is never written down.

The gradient of a layer's weights is dYᵀ·X, a product of the few samples of a batch. To write it out and read it back, once for
its norm and once for the update, moves as many bytes as the update itself. Its norm needs the samples' inner products alone
(‖dYᵀX‖² = Σ (dYdYᵀ)∘(XXᵀ); Goodfellow 2015, arXiv:1510.01799), and an update can make each piece of it when it is due.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numba
import numpy as np
import torch
from torch import Tensor, nn

from beyondlinear.linear_epoch import SUMS, TOGETHER, adam_applies, adam_numbers, adam_step

BLOCK = 8192  # columns at a time: whole rows stream fastest, and those of 16 samples fit a second-level cache
LARGEST_BATCH = 64  # beyond, the product of a library wins
SMALLEST_LAYER = 2**16  # weights; below, there is nothing to gain


class LayerUpdates:
    """Takes the weights of a network's wide layers out of autograd's hands while it trains."""

    def __init__(self, layers: list[nn.Linear], optimizer: torch.optim.Optimizer, threads: ThreadPoolExecutor) -> None:
        self.layers, self.optimizer, self.threads = layers, optimizer, threads
        self.n_threads = torch.get_num_threads()
        self.seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        for layer in layers:
            if not optimizer.state[layer.weight]:
                zeros = {name: torch.zeros_like(layer.weight) for name in ("exp_avg", "exp_avg_sq")}
                optimizer.state[layer.weight] = {"step": torch.zeros((), dtype=torch.float32), **zeros}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, a backward pass leaves each layer's batch and slopes here, and no gradient of its weights."""
        hooks = [layer.register_forward_hook(self._watch) for layer in self.layers]
        for layer in self.layers:
            layer.weight.requires_grad_(False)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for layer in self.layers:
                layer.weight.requires_grad_(True)

    def _watch(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].detach()
        output.register_hook(lambda slopes: self.seen.__setitem__(layer, (x, slopes)))

    def squared_norm(self) -> Tensor:
        """Of the gradients of all these layers' weights together."""
        products = [((s @ s.T) * (x @ x.T)).sum() for x, s in self.seen.values()]
        return torch.stack(products).sum()

    def step(self, scale: float) -> None:
        """Adam's step of these layers with their gradients times `scale`."""
        group = self.optimizer.param_groups[0]
        work = []
        for layer in self.layers:
            x, slopes = (_filled(t) for t in self.seen.pop(layer))
            state, weight = self.optimizer.state[layer.weight], layer.weight.detach().numpy()
            state["step"] += 1
            step = int(state["step"])
            beta1, beta2 = group["betas"]
            how = adam_numbers(group["lr"], beta1, beta2, group["eps"], group["weight_decay"], step, scale)
            held = (weight, state["exp_avg"].numpy(), state["exp_avg_sq"].numpy())
            ends = [len(weight) * i // self.n_threads for i in range(self.n_threads + 1)]
            for i, j in pairwise(ends):
                weights, mean, square = (a[i:j] for a in held)
                work.append(self.threads.submit(partial(_update, weights, mean, square, x, slopes[:, i:j], how)))
        for part in work:
            part.result()


def layers_to_update(
    network: nn.Module, optimizer: torch.optim.Optimizer, batch_size: int, threads: ThreadPoolExecutor
) -> LayerUpdates | None:
    """The updates of this network's wide layers; None where this optimizer, its device or the batches are not for them."""
    wide = [m for m in network.modules() if isinstance(m, nn.Linear) and m.weight.numel() >= SMALLEST_LAYER]
    wide = [m for m in wide if m.bias is not None]
    if not wide or batch_size > LARGEST_BATCH or not adam_applies(optimizer, list(network.parameters())):
        return None
    return LayerUpdates(wide, optimizer, threads)


def _filled(t: Tensor) -> np.ndarray:
    """With rows of zeros up to a whole number of steps of the loop."""
    return nn.functional.pad(t, (0, 0, 0, -len(t) % TOGETHER)).contiguous().numpy()


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def _update(
    weight: np.ndarray, mean: np.ndarray, square: np.ndarray, x: np.ndarray, slopes: np.ndarray, how: tuple
) -> None:
    """weight: (n_out, n_in) with its two moments; x: (n, n_in); slopes: (n, n_out)."""
    n_out, n_in = weight.shape
    gradient = np.empty(BLOCK, np.float32)
    for begin in range(0, n_in, BLOCK):
        end = min(begin + BLOCK, n_in)
        to = gradient[: end - begin]
        for o in range(n_out):
            to[:] = np.float32(0)
            for i in range(0, len(x), TOGETHER):
                a0, a1, a2, a3 = slopes[i, o], slopes[i + 1, o], slopes[i + 2, o], slopes[i + 3, o]
                a4, a5, a6, a7 = slopes[i + 4, o], slopes[i + 5, o], slopes[i + 6, o], slopes[i + 7, o]
                x0, x1, x2, x3 = x[i, begin:end], x[i + 1, begin:end], x[i + 2, begin:end], x[i + 3, begin:end]
                x4, x5, x6, x7 = x[i + 4, begin:end], x[i + 5, begin:end], x[i + 6, begin:end], x[i + 7, begin:end]
                for j in range(len(to)):
                    four = a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
                    to[j] += four + (a4 * x4[j] + a5 * x5[j] + a6 * x6[j] + a7 * x7[j])
            adam_step(weight[o, begin:end], mean[o, begin:end], square[o, begin:end], to, how)
