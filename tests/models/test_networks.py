import pytest
import torch

from beyondlinear.models.networks import FiveLayer, Linear, ThreeLayer


def size(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_sizes_at_5000_genes_are_the_papers():
    with torch.device("meta"):
        # weights + biases, by hand: 5000·2500 + 2500·1250 + 1250·2, and 2500 + 1250 + 2
        assert size(ThreeLayer(5000, 2)) == 15_627_500 + 3_752
        # 5000·2500 + 2·2500² + 2500·1250 + 1250·2; biases 3·2500 + 1250 + 2; batch norm 2·(3·2500 +
        # 1250)
        assert size(FiveLayer(5000, 2)) == 28_127_500 + 8_752 + 17_500
        assert size(Linear(5000, 21)) == 5000 * 21 + 21


@pytest.mark.parametrize("network", [Linear, ThreeLayer, FiveLayer])
@pytest.mark.parametrize("n_genes", [1, 3, 50])
def test_scores_have_one_column_per_class_however_few_genes(network, n_genes):
    assert network(n_genes, 4)(torch.zeros(3, n_genes)).shape == (3, 4)


def test_order_within_hidden_layers():
    kinds = [type(m).__name__ for m in FiveLayer(8, 2).layers]
    assert kinds == ["Linear", "ReLU", "BatchNorm1d", "Dropout"] * 4 + ["Linear"]
    assert [type(m).__name__ for m in ThreeLayer(8, 2).layers] == [
        "Linear",
        "ReLU",
        "Dropout",
    ] * 2 + ["Linear"]
