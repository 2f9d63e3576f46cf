"""Which units dropout keeps."""

import numpy as np
import pytest

from beyondlinear.models.compiled.dropout import drop, dropout_mask


def test_dropout_keeps_its_share_and_never_the_same_units():
    first = dropout_mask(np.uint64(1), 0, 0, 64, 500, np.float32(0.7))
    later = dropout_mask(np.uint64(1), 1, 0, 64, 500, np.float32(0.7))
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / np.float32(0.7))}
    assert (first > 0).mean() == pytest.approx(
        0.7, abs=0.01
    )  # 32,000 units: a standard error of 0.0026
    for axis in (0, 1):
        assert (first > 0).mean(axis=axis).std() == pytest.approx(
            np.sqrt(0.21 / first.shape[axis]), rel=0.25
        )  # as independent ones have it
    other = dropout_mask(np.uint64(2), 0, 0, 64, 500, np.float32(0.7))
    for mask in (later, other):
        assert ((first > 0) == (mask > 0)).mean() == pytest.approx(0.58, abs=0.01)  # 0.7² + 0.3²
    following = dropout_mask(np.uint64(1), 0, 500, 63, 500, np.float32(0.7))
    np.testing.assert_array_equal(first[1:], following)


def test_the_rows_beyond_n_are_left_as_they_are():
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    mask = np.array([[2, 0, 9], [0, 2, 9], [0, 0, 9]], np.float32)  # a wider layer's is as wide
    drop(x, 2, mask)
    assert x.tolist() == [[2, 0], [0, 8], [5, 6]]
