import json

import numpy as np
import pytest

from beyondlinear.runtime.errors import SplitError
from beyondlinear.tasks.confounding import (
    ClassInGroups,
    Confounding,
    confounding,
    refuse_labels_that_equal_groups,
)


def samples_of(table: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Codes and groups of a (n_groups, n_classes) table of counts; group numbers have gaps, as
    numbers of a subset do."""
    cells = [
        (c, 10 * g) for g, row in enumerate(table) for c, n in enumerate(row) for _ in range(n)
    ]
    codes, groups = np.array(cells).T
    return codes, groups


def measured(table: list[list[int]], classes: list[str]) -> Confounding:
    found = confounding(*samples_of(table), classes)
    assert found is not None
    return found


class TestCramersV:
    def test_by_hand(self):
        """Expected 20 in each cell: χ² = 4·10²/20 = 20, φ² = 20/80 = ¼, V = ½. Corrected: φ̃² = ¼ −
        1/79 = 0.23734, r̃ = k̃ = 2 − 1/79 = 1.98734, Ṽ = √(0.23734/0.98734) = 0.49029."""
        found = measured([[30, 10], [10, 30]], ["A", "B"])
        assert found.cramers_v == pytest.approx(0.5)
        assert found.cramers_v_corrected == pytest.approx(0.49029, abs=1e-5)

    def test_no_association_and_a_perfect_one(self):
        none, perfect = (
            measured([[5, 10], [10, 20]], ["A", "B"]),
            measured([[7, 0], [0, 9]], ["A", "B"]),
        )
        assert (none.cramers_v, none.cramers_v_corrected) == pytest.approx((0, 0))
        assert (perfect.cramers_v, perfect.cramers_v_corrected) == pytest.approx((1, 1))

    def test_small_groups_drive_only_the_plain_one_up(self):
        """500 groups of two samples with labels tossed: the plain V is √½ on average."""
        codes = np.random.default_rng(0).integers(0, 2, 1000)
        found = confounding(codes, np.arange(1000) // 2, ["A", "B"])
        assert found is not None
        assert found.cramers_v == pytest.approx(0.707, abs=0.03)
        assert found.cramers_v_corrected < 0.15

    def test_a_class_without_samples_counts_for_nothing(self):
        assert measured([[30, 0, 10], [10, 0, 30]], ["A", "B", "C"]).cramers_v == pytest.approx(0.5)

    def test_as_many_classes_as_samples(self):
        found = measured([[1, 1, 0], [0, 0, 1]], ["A", "B", "C"])
        assert (found.cramers_v, found.cramers_v_corrected) == pytest.approx((1, 0))


# a lies in groups 0, 1 and 2 as 8, 1, 1; b in all four equally; c in group 3 only
TABLE, CLASSES = [[8, 5, 0], [1, 5, 0], [1, 5, 0], [0, 5, 12]], ["a", "b", "c"]


class TestGroupsOfClasses:
    def test_by_hand(self):
        found = measured(TABLE, CLASSES)
        assert found.classes == {
            "a": ClassInGroups(10, 3, pytest.approx(100 / 66)),  # 1/(0.8² + 0.1² + 0.1²)
            "b": ClassInGroups(20, 4, pytest.approx(4)),
            "c": ClassInGroups(12, 1, pytest.approx(1)),
        }
        assert (found.n_groups, found.classes_per_group, found.one_class_groups) == (4, 2, 0)
        assert measured([[3, 0], [4, 0], [1, 1]], ["a", "b"]).one_class_groups == pytest.approx(
            2 / 3
        )

    def test_classes_that_rest_on_few_groups(self):
        found = measured(TABLE, CLASSES)
        assert found.rests_on_few(5) == ["c", "a", "b"]
        assert found.rests_on_few(4) == ["c", "a"]
        assert found.rests_on_few(None) == ["c"]
        assert measured([[2, 2], [2, 2]], ["a", "b"]).rests_on_few(None) == []

    def test_samples_without_groups_are_not_confounded(self):
        assert confounding(np.array([0, 1, 0, 1]), np.arange(4), ["a", "b"]) is None
        assert confounding(np.array([0, 1, 0, 1]), np.zeros(4, dtype=int), ["a", "b"]) is None

    def test_the_summary_is_plain(self):
        summary = json.loads(json.dumps(measured(TABLE, CLASSES).summary()))
        assert summary["classes"]["c"] == {"n_samples": 12, "n_groups": 1, "effective_groups": 1.0}
        assert summary["n_groups"] == 4


class TestReport:
    def test_it_says_what_follows(self):
        lines = measured(TABLE, CLASSES).report(4).splitlines()
        # χ²/n = 0.8179 over 4 groups and 3 classes: √(0.8179/2), and by Bergsma √((0.8179 −
        # 6/41)/(2 − 4/41))
        assert lines[0].startswith(
            "group and label: Cramér's V 0.59 corrected for chance, 0.64 plain (0: the group says"
        )
        assert lines[1:] == [
            "4 groups, 2.0 classes in a group on average; 0% of the groups hold one class only",
            "class 'c' (12 samples) lies in 1 group only: no split can hold it out and train on it",
            (
                "class 'a' (10 samples) lies in 3 groups, as good as 1.5 equal ones: at least 1 of"
                " 4 folds hold none of it out"
            ),
            "task.min_groups_per_class or task.classes leaves such classes out",
        ]

    def test_two_groups_leave_one_to_train_and_stop_on(self):
        text = measured([[2, 2], [2, 2], [0, 2]], ["a", "b"]).report(3)
        assert (
            "class 'a' (4 samples) lies in 2 groups, as good as 2.0 equal ones: with one held out,"
            " one is left" in text
        )

    def test_nothing_where_no_class_rests_on_few(self):
        assert measured([[2, 2], [2, 2]], ["a", "b"]).report(2) == ""

    def test_many_classes_are_counted(self):
        names = [f"c{i:02d}" for i in range(13)]
        lines = measured([[1] * 13, [1] * 13], names).report(5).splitlines()
        assert len([line for line in lines if line.startswith("class 'c")]) == 10
        assert "… and 3 classes more in fewer groups than folds" in lines


class TestRefusal:
    def test_labels_that_are_the_groups(self):
        with pytest.raises(
            SplitError,
            match=(
                r"every one of the 3 classes lies in exactly one of the 3 groups; label and group"
            ),
        ):
            refuse_labels_that_equal_groups(
                *samples_of([[4, 0, 0], [0, 3, 0], [0, 0, 5]]), ["a", "b", "c"]
            )

    def test_several_such_classes_in_one_group(self):
        with pytest.raises(
            SplitError,
            match=r"3 classes lies in exactly one of the 2 groups\. A group is either held out",
        ):
            refuse_labels_that_equal_groups(*samples_of([[4, 2, 0], [0, 0, 5]]), ["a", "b", "c"])

    @pytest.mark.parametrize("table", [TABLE, [[4, 0], [0, 3], [0, 1]], [[4, 3]]])
    def test_one_class_in_two_groups_is_enough_and_one_group_is_for_the_splitter(self, table):
        refuse_labels_that_equal_groups(*samples_of(table), ["a", "b", "c"][: len(table[0])])
