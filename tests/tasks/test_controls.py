import numpy as np
import pytest
from made_up import make_samples, mean_accuracy

from beyondlinear.models.linear.null_model import FoldedRows, fit_null_model
from beyondlinear.runtime.errors import ControlError
from beyondlinear.tasks import controls
from beyondlinear.tasks.controls import (
    LinearLabels,
    MatchedNull,
    NoControl,
    Setting,
    Shuffled,
    label_units,
)


def clusters(n: int = 300, genes: int = 8, groups=None, seed: int = 0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, genes)).astype(np.float32)
    labels = np.where(random.random(n) < 1 / (1 + np.exp(-2 * x[:, 0])), "b", "a")
    return make_samples(labels.tolist(), groups, x)


def test_no_control_changes_nothing():
    samples = clusters()
    assert NoControl().apply(samples, 0, Setting()) == (samples, {})


def test_units_are_groups_where_the_label_is_constant_and_samples_elsewhere():
    units, whole = label_units(np.array([0, 0, 1, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2]))
    np.testing.assert_array_equal(whole, [True, True, False, False, True, True])
    assert units[0] == units[1]
    assert units[4] == units[5]
    assert len(set(units)) == 4


class TestShuffled:
    def test_whole_groups_move_together_and_classes_keep_their_sizes(self):
        labels = ["a", "a", "b", "b", "b", "b", "a", "a"]
        samples = make_samples(labels, [0, 0, 1, 1, 2, 2, 3, 3])
        seen = set()
        for draw in range(60):
            shuffled, said = Shuffled(draw).apply(samples, 0, Setting())
            np.testing.assert_array_equal(shuffled.codes[::2], shuffled.codes[1::2])
            np.testing.assert_array_equal(np.bincount(shuffled.codes), [4, 4])
            assert said["bayes_accuracy"] == 0.5
            seen.add(tuple(shuffled.codes))
        assert len(seen) == 6  # 4 choose 2

    def test_paired_groups_exchange_single_samples(self):
        samples = make_samples(["a", "b"] * 50, np.arange(100) // 2)
        shuffled, said = Shuffled().apply(samples, 0, Setting())
        np.testing.assert_array_equal(np.bincount(shuffled.codes), [50, 50])
        assert 0.3 < said["agreement"] < 0.7

    def test_the_real_labels_make_the_folds(self):
        samples = clusters()
        shuffled, _ = Shuffled().apply(samples, 0, Setting())
        np.testing.assert_array_equal(shuffled.strata, samples.codes)
        np.testing.assert_array_equal(shuffled.x, samples.x)


def test_matched_null_keeps_all_but_the_expression():
    samples = clusters()
    null, said = MatchedNull().apply(samples, 0, Setting())
    assert said == {"bayes_accuracy": 0.5}
    np.testing.assert_array_equal(null.codes, samples.codes)
    np.testing.assert_array_equal(null.groups, samples.groups)
    assert null.x.shape == samples.x.shape
    assert null.x.dtype == np.float32
    assert abs(null.x.mean()) < 0.1
    assert abs(null.x.std() - 1) < 0.1
    assert abs(np.corrcoef(null.x[:, 0], samples.x[:, 0])[0, 1]) < 0.2
    assert not np.array_equal(null.x, MatchedNull(draw=1).apply(samples, 0, Setting())[0].x)


class TestLinearLabels:
    def test_labels_are_linear_of_known_strength(self):
        """40 draws agree with the law's rule as often as its Bayes accuracy says."""
        samples = clusters(400)
        law = LinearLabels().null_model(samples, np.arange(400), 0, Setting())
        hits = []
        for draw in range(40):
            drawn, said = LinearLabels(draw=draw).apply(samples, 0, Setting())
            hits.append((law.logits.argmax(1) == drawn.codes).mean())
        assert np.mean(hits) == pytest.approx(law.probabilities.max(1).mean(), abs=0.01)
        assert said["bayes_accuracy"] == pytest.approx(law.bayes_balanced_accuracy())
        assert 0.7 < said["bayes_accuracy"] < 0.85
        assert said["relative_gradient"] <= 1e-6
        assert not said["no_contrast"]

    def test_the_rule_behind_them_is_the_real_labels_own(self):
        samples = clusters(2000)
        drawn, _ = LinearLabels().apply(samples, 0, Setting())
        law = fit_null_model(
            FoldedRows(drawn.x, np.arange(2000) % 5), drawn.codes, 2, for_new_rows=True
        )
        direction = law.coefficients[:, 1] - law.coefficients[:, 0]
        assert direction[0] > 5 * np.abs(direction[1:]).max()  # gene 0 carries the real labels

    def test_random_direction_has_the_strength_but_not_the_direction(self):
        samples = clusters(2000)
        fitted, random = (
            LinearLabels(direction=d).apply(samples, 0, Setting())[1] for d in ("fitted", "random")
        )
        assert random["bayes_accuracy"] == pytest.approx(fitted["bayes_accuracy"], abs=0.03)
        assert random["agreement"] < 0.7 * fitted["bayes_accuracy"] + 0.3

    def test_three_classes_keep_their_frequencies(self):
        x = np.random.default_rng(0).normal(size=(900, 5)).astype(np.float32)
        codes = np.where(x[:, 0] > 1, 2, (x[:, 1] > 0).astype(int))
        samples = make_samples([f"c{c}" for c in codes], x=x)
        for direction in ("fitted", "random"):
            drawn, said = LinearLabels(direction=direction).apply(samples, 0, Setting())
            np.testing.assert_allclose(np.bincount(drawn.codes), np.bincount(codes), atol=60)
            assert said["bayes_accuracy"] > 0.6

    def test_constant_within_a_group_where_the_real_label_is(self):
        x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
        labels = np.repeat(np.where(x[::2, 0] > 0, "a", "b"), 2).tolist()
        drawn, said = LinearLabels().apply(
            make_samples(labels, np.arange(200) // 2, x), 0, Setting()
        )
        np.testing.assert_array_equal(drawn.codes[::2], drawn.codes[1::2])
        assert said["n_units"] == 100

    def test_all_draws_share_one_law(self, tmp_path, monkeypatch):
        samples, setting = clusters(), Setting(cache=tmp_path)
        first = LinearLabels(draw=0).apply(samples, 0, setting)[1]
        [path] = tmp_path.glob("*.npz")
        with monkeypatch.context() as m:
            m.setattr(controls, "fit_null_model", lambda *_: pytest.fail("fitted again"))
            other, said = LinearLabels(draw=1).apply(samples, 0, setting)
        assert said["bayes_accuracy"] == first["bayes_accuracy"]
        fresh, _ = LinearLabels(draw=1).apply(samples, 0, Setting())
        np.testing.assert_array_equal(other.codes, fresh.codes)
        path.write_bytes(path.read_bytes()[:100])  # cut off: fitted and written again
        LinearLabels(draw=1).apply(samples, 0, setting)
        assert len(path.read_bytes()) > 100

    def test_no_contrast_where_the_linear_model_is_perfect(self):
        x = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
        x[:, 0] += np.repeat([-6, 6], 200)
        _, said = LinearLabels().apply(make_samples(["a"] * 200 + ["b"] * 200, x=x), 0, Setting())
        assert said["agreement"] > 0.97
        assert said["no_contrast"]

    def test_an_uncertified_linear_model_is_refused(self, monkeypatch):
        monkeypatch.setattr("beyondlinear.models.linear.null_model.TOLERANCE", 1e-30)
        with pytest.raises(
            ControlError, match=r"certified linear model.*relative gradient .* at most 1e-30"
        ):
            LinearLabels().apply(clusters(), 0, Setting())

    def test_fewer_groups_than_folds(self):
        samples = make_samples(["a", "b"] * 10, np.arange(20) // 7)
        with pytest.raises(
            ControlError, match="5 folds need as many groups, there are 3; use control.folds=3"
        ):
            LinearLabels().apply(samples, 0, Setting())

    def test_a_class_that_no_draw_fills(self, monkeypatch):
        monkeypatch.setattr(controls, "_ATTEMPTS", 3)
        x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        samples = make_samples(["a"] * 38 + ["b"] * 2, x=x)
        monkeypatch.setattr(
            "beyondlinear.models.linear.null_model.NullModel.draw",
            lambda self, random, units: np.zeros(40, int),
        )
        with pytest.raises(
            ControlError, match="in 3 draws some class of 2 got fewer than 2 of 40 samples"
        ):
            LinearLabels().apply(samples, 0, Setting())


SMALL = [
    "dataset=simulated_clusters",
    "dataset.n_samples=400",
    "dataset.n_genes=10",
    "split.folds=3",
    "trainer.threads=1",
]


def test_the_record_says_what_the_control_is(run_here):
    [record, *_] = run_here(
        *SMALL, "model=ridge_logistic", "control=linear_labels", "control.draw=1"
    )
    control = record["data"]["control"]
    assert record["data"]["bayes_accuracy"] == control["bayes_accuracy"]
    assert 0.6 < control["agreement"] < 0.9
    assert record["names"]["control"] == "linear_labels"


def test_control_and_real_labels_share_their_folds(run_here):
    real = run_here(*SMALL, "model=ridge_logistic")
    control = run_here(*SMALL, "model=ridge_logistic", "control=linear_labels")
    for a, b in zip(real, control, strict=True):
        assert a["row_usage"]["parts"]["test"] == b["row_usage"]["parts"]["test"]


def test_after_split_removal_the_forest_beats_the_bayes_accuracy_of_linear_labels(run_here):
    """The decisive control: eight clusters, labels linear by construction, and yet a forest is
    above what is possible."""
    settings = [
        "dataset=simulated_clusters",
        "split.folds=3",
        "model=random_forest",
        "trainer.threads=2",
    ]
    settings += ["model.estimator.n_estimators=100", "control=linear_labels", "leak_probes.trees=0"]
    records = run_here(*settings, "signal_removal=class_means")
    assert mean_accuracy(records) > records[0]["data"]["bayes_accuracy"] + 0.08
    assert mean_accuracy(run_here(*settings)) < records[0]["data"]["bayes_accuracy"] + 0.02
