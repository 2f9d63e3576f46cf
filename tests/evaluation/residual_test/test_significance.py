import numpy as np
import pytest

from beyondlinear.evaluation.residual_test.significance import (
    LabellingScores,
    judge,
    rank_p_value,
)


def test_ranks_and_the_best_of_several_by_hand():
    assert (
        rank_p_value(np.array([3.0, 1.0, 2.0, 5.0])) == 0.5
    )  # one of three draws is as large: (1 + 1) / 4
    looks = [
        LabellingScores({"a": a, "b": b, "b_gain": 0.0}, {})
        for a, b in [(10.0, 0.0), (0.0, 1.0), (1.0, 0.0), (2.0, 2.0)]
    ]
    found = judge(looks)
    assert found["a"].p_value == 0.25
    assert found["b"].p_value == 1.0
    assert found["best"].p_value == 0.25  # a: (10 − 1) / 1 = 9
    assert found["best"].observed == pytest.approx(9.0)
