"""Where a small network's parameters lie; test_small_net.py compares its epochs with PyTorch's."""

import numpy as np

from beyondlinear.models.compiled.small_net_kernels import places_of


def test_places_with_normalisation():
    """5 genes → 3 units → 2 classes: 15 weights, 3 biases, 3 scales, 3 shifts, 6 weights, 2."""
    places = places_of(np.array([5, 3, 2]), True)
    assert places.weight.tolist() == [0, 24]
    assert places.bias.tolist() == [15, 30]
    assert places.scale.tolist() == [18, 32]
    assert places.shift.tolist() == [21, 32]
    assert places.end.tolist() == [24, 32]
    assert places.unit.tolist() == [0, 3]


def test_places_without():
    places = places_of(np.array([5, 3, 2]), False)
    assert places.weight.tolist() == [0, 18]
    assert places.end.tolist() == [18, 26]
