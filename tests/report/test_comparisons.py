"""What models are compared with, and who is compared."""

import numpy as np
import pytest
from made_up_reports import fits

from beyondlinear.report.comparisons import certified_reference, comparisons


def test_a_certified_model_that_gives_probabilities_comes_first():
    names = ["a_hinge", "a_logistic", "net"]
    reference = certified_reference(
        fits(
            model=names,
            learner=names,
            linear=[True, True, False],
            certified=[True, True, False],
            probabilities=[False, True, True],
            balanced_accuracy=[0.7, 0.75, 0.9],
        )
    )
    assert reference is not None
    assert (reference.learner, reference.name) == ("a_logistic", "a_logistic")
    assert reference.in_words == "the certified linear model"
    assert reference.values.value.tolist() == [0.75]


def test_the_optimum_beside_a_trained_linear_model_stands_in():
    reference = certified_reference(
        fits(
            model=["mine", "net"],
            learner=["mine, tuning random", "net"],
            linear=[True, False],
            balanced_accuracy=[0.6, 0.9],
            optimum_balanced_accuracy=[0.8, np.nan],
        )
    )
    assert reference is not None
    assert reference.is_optimum
    assert (reference.learner, reference.name) == ("mine, tuning random", "optimum of mine")
    assert reference.in_words == "the certified optimum of mine"
    assert reference.values.value.tolist() == [0.8]


def test_there_may_be_nothing_to_compare_with():
    assert certified_reference(fits(model=["net"])) is None
    # a name does not make a model a certified linear one
    assert certified_reference(fits(model=["ridge_logistic"])) is None


def test_a_linear_model_under_another_name_counts_for_no_adjustment(gathered):
    table = comparisons(gathered).set_index("learner")
    assert sorted(table.index) == ["mine", "three_layer"]
    assert table.linear.to_dict() == {"mine": True, "three_layer": False}
    assert np.isnan(table.p_holm["mine"])
    assert table.p_holm["three_layer"] == pytest.approx(table.p_value["three_layer"])
    assert (table.reference == "ridge_logistic").all()
    assert (table.fraction == 1.0).all()
