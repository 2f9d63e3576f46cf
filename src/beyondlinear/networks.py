"""The paper's networks. They know tensors and nothing else: (n, n_genes) float32 in, (n, n_classes) scores out."""

from itertools import pairwise

from torch import Tensor, nn


class Linear(nn.Module):
    """One linear layer: logistic regression or a linear SVM, by the loss it is trained with."""

    def __init__(self, n_genes: int, n_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_genes, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class ThreeLayer(nn.Module):
    """p → p/2 → p/4 → classes; ReLU and dropout after each hidden layer."""

    def __init__(self, n_genes: int, n_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        half, quarter = _width(n_genes, 2, n_classes), _width(n_genes, 4, n_classes)
        self.layers = nn.Sequential(
            *(nn.Linear(n_genes, half), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(half, quarter), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(quarter, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class FiveLayer(nn.Module):
    """p → p/2 → p/2 → p/2 → p/4 → classes; each hidden layer is Linear, ReLU, BatchNorm, dropout."""

    def __init__(self, n_genes: int, n_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        half, quarter = _width(n_genes, 2, n_classes), _width(n_genes, 4, n_classes)
        widths = [n_genes, half, half, half, quarter]
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.ReLU(), nn.BatchNorm1d(narrow), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(quarter, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _width(n_genes: int, divisor: int, n_classes: int) -> int:
    """The paper's widths; with very few genes a hidden layer is never narrower than the output."""
    return max(n_genes // divisor, n_classes)
