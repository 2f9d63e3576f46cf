"""Which rows could show signal beyond a linear model."""

import numpy as np
import pytest
from made_up_reports import renamed

from beyondlinear.report.reading import read
from beyondlinear.report.signal_tests import excesses, residual_tests


def test_only_non_linear_models_after_removal_are_tested(make_sweep, tmp_path):
    models = ("ridge_logistic", "logistic_regression", "three_layer")
    make_sweep(tmp_path, models=models, controls=3, fractions=(1.0,))
    renamed(tmp_path, "logistic_regression", "mine")
    table = excesses(read([tmp_path]))
    tested = table[table.p_holm.notna()]
    assert tested.model.tolist() == ["three_layer"]
    assert tested.signal_removal.tolist() == ["class_means"]
    assert tested.p_holm.iloc[0] == pytest.approx(tested.p_t.iloc[0])
    assert table.set_index("model").linear.to_dict() == {
        "mine": True,
        "ridge_logistic": True,
        "three_layer": False,
    }


def test_residual_tests_are_shown_with_the_fits_on_the_same_data(gathered):
    fingerprint = gathered.records[gathered.done.key.iloc[0]]["data"]["fingerprint"]
    verdict = {"verdict": "none found", "linear_log_loss": 0.4, "constant_log_loss": 0.7}
    verdict |= {"draws": 199, "statistics": {"best": {"p_value": 0.3}}}
    names = {"dataset": "made_up", "task": "label", "control": "none"}
    for number, data in enumerate(({"fingerprint": fingerprint}, {"fingerprint": "another"})):
        test = {"key": f"t{number}", "names": names, "seed": 0, "data": data, "verdict": verdict}
        gathered.tests.append(test)
    table = residual_tests(gathered)
    assert table.panel.tolist() == ["made_up", "made_up, label"]
    assert table.p_value.tolist() == [0.3, 0.3]
    assert np.isnan(table.observed).all()
