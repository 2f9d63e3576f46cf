import functools

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

from beyondlinear.models.interface import FitData, FitSeeds, Part, TrainerConfig
from beyondlinear.models.sklearn_model import EstimatorModel

TRAINER = TrainerConfig("cpu", 1, 16, None, 3, 3, None, 3)


def data() -> FitData:
    random = np.random.default_rng(0)
    codes = np.arange(90) % 2
    x = (random.standard_normal((90, 4)) + 2 * codes[:, None]).astype(np.float32)
    rows = np.arange(90)
    train = Part(x[:60], codes[:60], rows[:60])
    return FitData(train, Part(x[60:75], codes[60:75], rows[60:75]), x[75:], 2, FitSeeds.drawn(0))


def test_a_forest_gives_log_shares_and_the_same_forest_for_the_same_seed():
    model = EstimatorModel(functools.partial(RandomForestClassifier, n_estimators=20))
    first, again = (model.fit(data(), TRAINER) for _ in range(2))
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.scores.min() >= np.log(1e-3)
    # a share of 0 counts as 1e-3
    np.testing.assert_allclose(np.exp(first.scores).sum(1), 1, atol=1.1e-3)
    assert first.hyperparameters["n_estimators"] == 20
    assert not {"random_state", "n_jobs"} & set(first.hyperparameters)
    assert first.rows_used["weights"].tolist() == list(range(60))


def test_distances_of_two_classes_become_two_scores():
    result = EstimatorModel(LinearSVC, linear=True).fit(data(), TRAINER)
    np.testing.assert_array_equal(result.scores[:, 0], -result.scores[:, 1])
    assert (result.scores.argmax(1) == np.arange(75, 90) % 2).mean() > 0.9
    assert result.validation_scores.shape == (15, 2)


def test_it_is_linear_only_where_its_config_says_so():
    assert EstimatorModel(LinearSVC, linear=True).properties.linear
    assert not EstimatorModel(LinearSVC).properties.linear
    assert not EstimatorModel(LinearSVC, linear=True).properties.certified
