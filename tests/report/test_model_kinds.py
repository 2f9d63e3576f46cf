"""A model is shown for what its records state, not for its name."""

import pytest
from made_up_reports import fits

from beyondlinear.report.model_kinds import colours, in_words, kind_of, kinds

BLUES = {"#0072B2", "#004466", "#2A52BE", "#1B2A6B", "#56B4E9", "#7A9FC2", "#17BECF", "#9AD0F5"}


@pytest.mark.parametrize(
    ("linear", "certified", "trained_in_epochs", "kind"),
    [
        (True, True, False, "certified linear"),
        (True, False, True, "linear"),
        (False, False, True, "network"),
        (False, False, False, "other"),
    ],
)
def test_kinds(linear, certified, trained_in_epochs, kind):
    assert kind_of(linear, certified, trained_in_epochs) == kind


def learners(**linear: bool):
    names = list(linear)
    return fits(learner=names, model=names, linear=list(linear.values()))


def test_models_of_this_package_look_alike_in_every_report():
    alone = colours(learners(five_layer=False))
    beside = colours(learners(a_net=False, five_layer=False, three_layer=False))
    assert alone["five_layer"] == beside["five_layer"] == "#D55E00"
    assert beside["three_layer"] == "#E69F00"


def test_a_linear_model_under_another_name_is_blue():
    found = colours(learners(logistic_regression=True, mine=True, three_layer=False))
    assert found["logistic_regression"] == "#56B4E9"
    assert found["mine"] in BLUES - {"#56B4E9"}


def test_a_name_does_not_make_a_model_linear():
    table = learners(ridge_logistic=False)
    assert kinds(table) == {"ridge_logistic": "network"}
    assert colours(table)["ridge_logistic"] not in BLUES


def test_every_learner_has_a_colour_of_its_own_as_long_as_there_are_some():
    found = colours(learners(**{f"net{number}": False for number in range(8)}))
    assert len(set(found.values())) == 8
    assert len(colours(learners(**{f"net{number}": False for number in range(30)}))) == 30


def test_words():
    assert in_words("five_layer", "network") == "a five-layer network"
    assert in_words("mine", "linear") == "mine (a linear model)"
