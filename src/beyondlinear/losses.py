"""What networks are trained to lessen: losses of each sample's scores."""

from torch import Tensor, nn


def hinge(scores: Tensor, codes: Tensor) -> Tensor:
    """Multi-class hinge of Weston & Watkins (1999), Σ_{j≠y} max(0, 1 − s_y + s_j), over K − 1; (n,) losses.

    Divided so, its gradient at zero scores equals the cross-entropy's up to K/(K − 1): the same weight decay then means
    the same for both.
    """
    return nn.functional.multi_margin_loss(scores, codes, reduction="none") * (scores.shape[1] / (scores.shape[1] - 1))


def cross_entropy(scores: Tensor, codes: Tensor) -> Tensor:
    """−log softmax(scores)_y; (n,) losses."""
    return nn.functional.cross_entropy(scores, codes, reduction="none")


LOSSES = {"cross_entropy": cross_entropy, "hinge": hinge}
