"""What networks are trained to lessen: losses of each sample's scores."""

from collections.abc import Callable

from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]  # (n, n_classes) scores, (n,) codes → (n,) losses


def hinge(scores: Tensor, codes: Tensor) -> Tensor:
    """Multi-class hinge of Weston & Watkins (1999), Σ_{j≠y} max(0, 1 − s_y + s_j), over K − 1; (n,)
    losses.

    Divided so, its gradient at zero scores equals the cross-entropy's up to K/(K − 1): the same
    weight decay then means the same for both.
    """
    n_classes = scores.shape[1]
    over_n_classes = nn.functional.multi_margin_loss(scores, codes, reduction="none")
    return over_n_classes * (n_classes / (n_classes - 1))


def cross_entropy(scores: Tensor, codes: Tensor) -> Tensor:
    """−log softmax(scores)_y; (n,) losses."""
    return nn.functional.cross_entropy(scores, codes, reduction="none")


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "hinge": hinge}
