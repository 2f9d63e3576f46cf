"""Every mode on rows small enough to check by hand: what is subtracted, learnt from which part,
with whose labels."""

import numpy as np
import pandas as pd
import pytest

from beyondlinear.removal.modes import (
    ClassMeansBeforeSplitRemoval,
    ClassMeansRemoval,
    LabelFreeRemoval,
    NoRemoval,
    Removal,
    Rows,
    StudyRemoval,
    TrainOracleRemoval,
)
from beyondlinear.runtime.errors import RemovalError

MODES = [
    NoRemoval(),
    ClassMeansRemoval(),
    ClassMeansBeforeSplitRemoval(),
    TrainOracleRemoval(),
    LabelFreeRemoval("leace"),
    LabelFreeRemoval("projection"),
    LabelFreeRemoval("quadratic", components=4),
]


def rows(x, codes, name: str = "train", groups=None, **obs) -> Rows:
    n = len(codes)
    groups = np.arange(n) if groups is None else np.asarray(groups)
    codes = np.asarray(codes)
    frame = pd.DataFrame(obs, index=[f"s{i}" for i in range(n)])
    return Rows(
        np.array(x, dtype=np.float32), codes, ["a", "b", "c"], name, np.arange(n), groups, frame
    )


def random_rows(n: int, seed: int, name: str) -> Rows:
    random = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    return rows(random.normal(size=(n, 5)) + codes[:, None] * [1, 0, 0, 2, 0], codes, name)


def spread(part: Rows) -> float:
    """Largest difference between class means of a gene."""
    return float(
        np.ptp([part.x[part.codes == c].mean(0) for c in np.unique(part.codes)], axis=0).max()
    )


def test_split_takes_each_part_by_itself():
    part = rows([[0], [2], [10], [14]], [0, 0, 1, 1], "test")
    ClassMeansRemoval().transform(part)  # class means 1 and 12, unweighted mean 6.5
    np.testing.assert_allclose(part.x[:, 0], [5.5, 7.5, 4.5, 8.5])


def test_train_oracle_learns_from_the_train_part_and_reads_the_labels_of_the_others():
    fit = rows(
        [[0], [2], [0], [2], [9], [11]], [0, 0, 0, 0, 1, 1]
    )  # means 1 and 10, grand mean 4: offsets −3 and 6
    learnt = TrainOracleRemoval().fit(fit)
    assert fit.x[:, 0].tolist() == [0, 2, 0, 2, 9, 11]  # learning changes nothing
    learnt.transform(fit)
    np.testing.assert_allclose(fit.x[:, 0], [3, 5, 3, 5, 3, 5])
    other = rows([[0], [0]], [0, 1], "test")
    learnt.transform(other)
    np.testing.assert_allclose(other.x[:, 0], [3, -6])


@pytest.mark.parametrize("method", ["leace", "projection", "quadratic"])
def test_label_free_modes_equalise_the_train_part_and_read_no_label_of_another(method):
    fit, one, two = (
        random_rows(90, 0, "train"),
        random_rows(30, 1, "test"),
        random_rows(30, 1, "test"),
    )
    learnt = LabelFreeRemoval(method, components=4).fit(fit)
    assert spread(one) > 1
    for part in (fit, one):
        learnt.transform(part)
    assert spread(fit) < 1e-5
    permuted = Rows(
        two.x, np.random.default_rng(5).permutation(two.codes), two.classes, two.name, two.positions
    )
    learnt.transform(permuted)
    np.testing.assert_array_equal(permuted.x, one.x)


@pytest.mark.parametrize("method", ["leace", "projection"])
def test_label_free_modes_keep_the_grand_mean(method):
    fit = random_rows(91, 0, "train")  # unequal classes
    grand = fit.x.mean(0)
    learnt = LabelFreeRemoval(method).fit(fit)
    learnt.transform(fit)
    np.testing.assert_allclose(fit.x.mean(0), grand, atol=1e-6)


class TestStudy:
    X, CODES, GROUPS = [[0], [4], [10], [14]], [0, 1, 0, 1], [7, 7, 8, 8]

    def test_group_differences_go_and_class_differences_stay(self):
        part = rows(self.X, self.CODES, groups=self.GROUPS)
        StudyRemoval().transform(part)
        np.testing.assert_allclose(part.x[:, 0], [5, 9, 5, 9])

    def test_groups_of_a_column(self):
        part = rows(self.X, self.CODES, plate=["p", "p", "q", "q"])
        StudyRemoval("plate").transform(part)
        np.testing.assert_allclose(part.x[:, 0], [5, 9, 5, 9])

    def test_refused_where_groups_and_classes_cannot_be_told_apart(self):
        part = rows(self.X, [0, 0, 1, 1], groups=self.GROUPS)
        with pytest.raises(
            RemovalError,
            match=r"not estimable on the train part: .* 2 of its 2 groups hold a single class",
        ):
            StudyRemoval().transform(part)
        assert part.x[:, 0].tolist() == [0, 4, 10, 14]

    @pytest.mark.parametrize(
        ("removal", "more", "message"),
        [
            (StudyRemoval(), {"groups": [1, 1, 1, 1]}, "all its 4 samples lie in one group"),
            (
                StudyRemoval("plat"),
                {"plate": list("ppqq")},
                "'plat' is not a column of obs. did you mean 'plate'",
            ),
            (
                StudyRemoval("plate"),
                {"plate": ["p", None, "q", "q"]},
                "1 of 4 samples of the train part have no 'plate'",
            ),
        ],
    )
    def test_bad_groups(self, removal, more, message):
        with pytest.raises(RemovalError, match=message):
            removal.transform(rows(self.X, self.CODES, **more))


@pytest.mark.parametrize(
    "removal", [m for m in MODES if m.learns], ids=lambda m: getattr(m, "method", "oracle")
)
def test_a_class_of_one_sample_in_the_train_part_is_refused(removal):
    part = random_rows(31, 0, "train")
    part.codes[:] = [0] * 15 + [1] * 15 + [2]
    with pytest.raises(RemovalError, match="class 'c' has 1 sample there"):
        removal.fit(part)


@pytest.mark.parametrize(
    "removal", [m for m in MODES if m.learns], ids=lambda m: getattr(m, "method", "oracle")
)
def test_few_samples_of_a_class_are_a_warning(removal):
    part = random_rows(40, 0, "train")
    part.codes[:] = [0] * 30 + [1] * 7 + [2] * 3
    assert removal.fit(part).transform(part) == [
        "signal removal rests on fewer than 10 samples of a class in the train part: b 7, c 3"
    ]


def test_missing_values_are_named():
    part = random_rows(40, 0, "train")
    part.x[3, 2] = np.nan
    for removal in (LabelFreeRemoval("leace"), LabelFreeRemoval("quadratic"), TrainOracleRemoval()):
        with pytest.raises(RemovalError, match="column 2"):
            removal.fit(part)


def test_each_mode_says_whose_labels_it_reads_and_an_unknown_one_is_taken_for_an_oracle():
    said = {type(m).__name__ + getattr(m, "method", ""): m.labels_of for m in MODES}
    assert said == {
        "NoRemoval": "nobody",
        "ClassMeansRemoval": "every part",
        "ClassMeansBeforeSplitRemoval": "all samples",
        "TrainOracleRemoval": "every part",
        "LabelFreeRemovalleace": "the train part",
        "LabelFreeRemovalprojection": "the train part",
        "LabelFreeRemovalquadratic": "the train part",
    }
    assert Removal().labels_of == "every part"
