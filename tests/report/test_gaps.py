"""What is not there is named, by what models are and not by their names."""

import json

from made_up_reports import missing_texts

from beyondlinear.report.reading import read


def test_a_certified_model_and_a_network_leave_no_limit_of_their_kind(gathered):
    text = missing_texts(gathered)
    assert "no linear model at a certified optimum" not in text
    assert "linear models alone" not in text
    assert "one seed; another seed" in text
    assert "no residual-prediction test of these data" in text


def test_linear_models_alone(make_sweep, tmp_path):
    models = ("ridge_logistic", "logistic_regression")
    text = missing_texts(read([make_sweep(tmp_path, models=models)]))
    assert "linear models alone; whether another model does better is not asked" in text


def test_without_a_certified_linear_model(make_sweep, tmp_path):
    text = missing_texts(read([make_sweep(tmp_path, models=("three_layer",))]))
    assert "no linear model at a certified optimum (model=ridge_logistic)" in text


def test_a_model_that_does_not_say_what_it_is_counts_as_not_linear(make_sweep, tmp_path):
    make_sweep(tmp_path, models=("ridge_logistic",), removals=("none",))
    for path in (tmp_path / "records").glob("??/*.json"):
        record = json.loads(path.read_text())
        del record["model"]
        path.write_text(json.dumps(record))
    gathered = read([tmp_path])
    assert not gathered.done.linear.any()
    assert "the records of ridge_logistic do not say whether the model is linear" in missing_texts(
        gathered
    )
