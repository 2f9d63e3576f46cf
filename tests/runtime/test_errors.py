import pytest

from beyondlinear.runtime.errors import Terminated, choices, exit_code_of


def test_the_closest_choice_comes_first():
    assert (
        choices("fiv_layer", ["three_layer", "five_layer"])
        == "did you mean 'five_layer'? Allowed: five_layer, three_layer"
    )


def test_nothing_close_is_no_guess():
    assert choices("xyz", ["b", "a"]) == "Allowed: a, b"
    assert choices("xyz", []) == "Allowed: (none)"


def test_a_long_list_is_cut():
    assert choices("q", map(str, range(5)), limit=2) == "Allowed: 0, 1, … (5 in all)"


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_exit_codes_are_those_of_a_shell(stop, code):
    assert exit_code_of(stop) == code
