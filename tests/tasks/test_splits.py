import numpy as np
import pandas as pd
import pytest
from made_up import make_samples

from beyondlinear.runtime.errors import ConfigError, SplitError
from beyondlinear.tasks.splits import Fold, Splitter


def frame(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=[f"s{i}" for i in range(n)])


def donors(n_donors: int = 60, classes: str = "ABC", seed: int = 0):
    """Each donor gives one to four samples of mixed classes."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_donors), rng.integers(1, 5, n_donors))
    return make_samples(list(rng.choice(list(classes), len(groups))), groups)


class TestGroups:
    def test_one_column(self):
        assert Splitter(group="donor").groups(frame(donor=["d1", "d2", "d1"])).tolist() == [0, 1, 0]

    def test_several_columns_join_into_connected_components(self):
        # plate p1 ties d1 to d2; d3 shares nothing
        obs = frame(donor=["d1", "d2", "d3", "d1"], plate=["p1", "p1", "p2", "p3"])
        assert Splitter(group=["donor", "plate"]).groups(obs).tolist() == [0, 0, 1, 0]

    def test_a_sample_in_several_groups_joins_them(self):
        assert Splitter(group="study").groups(frame(study=["a", "b", "a;b", "c"])).tolist() == [
            0,
            0,
            0,
            1,
        ]

    def test_without_a_column_every_sample_is_a_group(self):
        assert Splitter().groups(frame(x=[1, 1, 1])).tolist() == [0, 1, 2]

    def test_a_missing_group_is_an_error_unless_allowed(self):
        obs = frame(donor=["d1", None, "", "d1"])
        with pytest.raises(
            SplitError, match=r"2 of 4 samples have no 'donor' \(e.g. s1, s2\).*own_group"
        ):
            Splitter(group="donor").groups(obs)
        assert Splitter(group="donor", on_missing_group="own_group").groups(obs).tolist() == [
            0,
            1,
            2,
            0,
        ]

    def test_a_group_is_asked_for_only_where_it_is_needed(self):
        obs = frame(donor=["d1", None, "d1"])
        assert Splitter(group="donor").groups(
            obs, needed=np.array([True, False, True])
        ).tolist() == [0, 1, 0]

    def test_numbers_and_words_of_one_group_are_one_group(self):
        assert Splitter(group="d").groups(frame(d=[1, 1.0, "1", " 1 ", 2])).tolist() == [
            0,
            0,
            0,
            0,
            1,
        ]
        with pytest.raises(SplitError, match="1 of 2 samples have no 'd'"):
            Splitter(group="d").groups(frame(d=["a", " ; "]))

    def test_an_unknown_column_names_the_closest(self):
        with pytest.raises(SplitError, match="did you mean 'donor'"):
            Splitter(group="doner").groups(frame(donor=["d"]))


class TestOuterFolds:
    def test_whole_groups_are_held_out_and_every_sample_once(self):
        samples = donors()
        folds = Splitter(group="donor", folds=5).outer(samples, seed=0)
        held = np.concatenate([f.test for f in folds])
        assert sorted(held) == list(range(len(samples.codes)))
        for f in folds:
            assert not set(samples.groups[f.train]) & set(samples.groups[f.test])

    def test_stratified_and_balanced(self):
        samples = make_samples(["A"] * 500 + ["B"] * 450 + ["C"] * 50)
        for f in Splitter(folds=5).outer(samples, seed=1):
            assert np.bincount(samples.codes[f.test]).tolist() == [100, 90, 10]

    def test_groups_of_uneven_size_are_balanced_within_a_tenth(self):
        samples = donors(300)
        sizes = [len(f.test) for f in Splitter(group="donor", folds=5).outer(samples, seed=0)]
        assert max(sizes) < 1.1 * min(sizes)
        for f in Splitter(group="donor", folds=5).outer(samples, seed=0):
            shares = np.bincount(samples.codes[f.test]) / np.bincount(samples.codes)
            assert np.all(np.abs(shares - 0.2) < 0.03)

    def test_seeded(self):
        a, b, c = (Splitter(folds=5).outer(donors(), seed=s) for s in (0, 0, 1))
        assert all(np.array_equal(x.test, y.test) for x, y in zip(a, b, strict=True))
        assert not all(np.array_equal(x.test, y.test) for x, y in zip(a, c, strict=True))

    def test_seeds_move_large_groups_of_distinct_size_too(self):
        sizes = np.arange(5, 105)
        groups = np.repeat(np.arange(100), sizes)
        samples = make_samples(list("AB") * (len(groups) // 2), groups)
        largest, tuned = set(), set()
        for seed in range(30):
            fold = Splitter(group="study", folds=5).outer(samples, seed)[0]
            held = set(samples.groups[fold.test])
            assert len(fold.test) / len(groups) == pytest.approx(0.2, abs=0.02)
            largest.add(frozenset(held & set(range(90, 100))))
            parts = Splitter(group="study", folds=5).inner(samples, fold, 1.0, seed)
            tuned |= set(samples.groups[parts.validation]) & set(range(80, 100))
        assert len(largest) > 20  # of the ten largest groups, other ones are held out each time
        assert len(tuned) >= 10  # and large groups stop the training now and then

    def test_leave_one_group_out(self):
        samples = make_samples(
            list("ABABAB"), ["x", "x", "y", "y", "z", "z"], cohort=["x", "x", "y", "y", "z", "z"]
        )
        folds = Splitter(group="cohort", folds=None).outer(samples, seed=0)
        assert [f.test.tolist() for f in folds] == [[0, 1], [2, 3], [4, 5]]
        assert [f.held_out for f in folds] == ["x", "y", "z"]

    def test_leave_one_sample_out_is_refused(self):
        with pytest.raises(ConfigError, match="give a number of folds"):
            Splitter(folds=None).outer(make_samples(list("ABAB")), seed=0)

    def test_the_users_own_folds(self):
        samples = make_samples(list("ABABAB"), batch=["two", "two", "one", "one", "", None])
        folds = Splitter(column="batch").outer(samples, seed=0)
        assert [(f.held_out, f.test.tolist()) for f in folds] == [("one", [2, 3]), ("two", [0, 1])]
        assert folds[0].train.tolist() == [0, 1, 4, 5]  # samples without a fold only ever train

    def test_own_folds_that_tear_a_group_apart_are_refused(self):
        samples = make_samples(list("ABAB"), ["d1", "d2", "d1", "d2"], batch=[1, 1, 2, 1])
        with pytest.raises(SplitError, match="tears 1 groups.*s0, s2"):
            Splitter(group="donor", column="batch").outer(samples, seed=0)

    def test_more_folds_than_groups(self):
        with pytest.raises(SplitError, match="at least 5 groups; there are 2"):
            Splitter(group="d", folds=5).outer(make_samples(list("ABAB"), [0, 0, 1, 1]), seed=0)

    def test_only_folds(self):
        samples = donors()
        assert [
            f.number for f in Splitter(folds=5, only_folds=[3, 1, 3]).outer(samples, seed=0)
        ] == [3, 1]
        with pytest.raises(SplitError, match="no fold 7; folds are 0 to 4"):
            Splitter(folds=5, only_folds=[7]).outer(samples, seed=0)


class TestInnerParts:
    def test_fractions_are_nested_and_stratified(self):
        samples = make_samples(["A"] * 400 + ["B"] * 100)
        splitter = Splitter(folds=5)
        fold = splitter.outer(samples, seed=0)[0]
        previous: set = set()
        for fraction in (0.1, 0.25, 0.5, 1.0):
            parts = splitter.inner(samples, fold, fraction, seed=0)
            rows = np.concatenate([parts.train, parts.validation])
            assert len(rows) == round(400 * fraction)
            assert np.bincount(samples.codes[rows])[1] == pytest.approx(len(rows) / 5, abs=1)
            assert previous <= set(rows)
            previous = set(rows)
            assert not set(rows) & set(fold.test)

    def test_a_fraction_does_not_depend_on_the_others_asked_for(self):
        samples = donors()
        one, many = Splitter(folds=5, fractions=[0.5]), Splitter(folds=5, fractions=[0.1, 0.5, 1.0])
        fold = one.outer(samples, seed=0)[2]
        assert np.array_equal(
            one.inner(samples, fold, 0.5, 0).train, many.inner(samples, fold, 0.5, 0).train
        )

    def test_fit_and_tune_are_apart_by_group_and_hold_every_class(self):
        samples = donors(200)
        splitter = Splitter(group="donor", folds=5)
        for fold in splitter.outer(samples, seed=0):
            parts = splitter.inner(samples, fold, 1.0, seed=0)
            assert not set(samples.groups[parts.train]) & set(samples.groups[parts.validation])
            assert (
                set(samples.codes[parts.train]) == set(samples.codes[parts.validation]) == {0, 1, 2}
            )
            assert len(parts.validation) / (
                len(parts.train) + len(parts.validation)
            ) == pytest.approx(0.2, abs=0.03)

    def test_too_small_for_a_tune_part(self):
        # 8 training samples × 0.2 = 1.6 validation samples, fewer than two for each of two classes
        samples = make_samples(list("AB") * 500)
        splitter = Splitter(folds=5)
        parts = splitter.inner(samples, splitter.outer(samples, 0)[0], 0.01, seed=0)
        assert (len(parts.train), len(parts.validation)) == (8, 0)

    def test_a_class_of_one_group_cannot_be_in_fit_and_tune(self):
        samples = make_samples(list("AB") * 50 + ["C"] * 5, [*range(100), *["c"] * 5])
        splitter = Splitter(group="g", folds=5)
        folds = splitter.outer(samples, seed=0)
        fold = next(f for f in folds if not (samples.codes[f.test] == 2).any())
        with pytest.raises(
            SplitError,
            match=(
                "class 'C' is missing from the (fit|validation) part.*5 of its 5 samples, in 1"
                " group"
            ),
        ):
            splitter.inner(samples, fold, 1.0, seed=0)

    def test_overlapping_parts_are_caught(self):
        samples = make_samples(list("AABB") * 25, np.arange(100) // 2)
        torn = Fold(
            0, np.arange(0, 100, 2), np.arange(1, 100, 2)
        )  # each pair of samples is one group
        with pytest.raises(SplitError, match="in both the train and the test part"):
            Splitter(group="g", validation_share=0).inner(samples, torn, 1.0, seed=0)


class TestPretraining:
    def test_forty_forty_twenty_in_five_rotations(self):
        samples = make_samples(list("AB") * 100, [f"study{i // 5}" for i in range(200)])
        splitter = Splitter(group="g", folds=5, pretrain_share=0.4)
        folds = splitter.outer(samples, seed=0)
        assert [f.number for f in folds] == [0, 1, 2, 3, 4]
        for f in folds:
            sizes = [len(rows) for rows in (f.pretraining, f.train, f.test)]
            assert sum(sizes) == 200
            assert sizes == pytest.approx([80, 80, 40], abs=12)
            held = [set(samples.groups[rows]) for rows in (f.pretraining, f.train, f.test)]
            assert not held[0] & held[1]
            assert not held[2] & (held[0] | held[1])
        for role in (
            "pretraining",
            "train",
            "test",
        ):  # over the rotations every sample plays each role as often
            times = np.bincount(np.concatenate([getattr(f, role) for f in folds]), minlength=200)
            assert set(times) == {1 if role == "test" else 2}

    def test_shares_that_leave_nothing(self):
        samples = make_samples(list("AB") * 20)
        with pytest.raises(
            ConfigError, match=r"split.pretrain_share: 0.9 of 5 folds is 4; at least one fold must"
        ):
            Splitter(folds=5, pretrain_share=0.9).outer(samples, seed=0)


class TestInnerFolds:
    def test_they_divide_the_given_rows_by_group(self):
        samples = make_samples(list("AB") * 50, [f"donor{i // 4}" for i in range(100)])
        rows = np.arange(0, 80)
        folds = Splitter(group="g", folds=5).inner_folds(samples, rows, 4, 0, 1, 0.5)
        assert np.array_equal(np.sort(np.concatenate([f.test for f in folds])), rows)
        for f in folds:
            assert np.array_equal(np.union1d(f.train, f.test), rows)
            assert not set(samples.groups[f.train]) & set(samples.groups[f.test])
        again = Splitter(group="g", folds=5).inner_folds(samples, rows, 4, 0, 1, 0.5)
        assert all(np.array_equal(a.train, b.train) for a, b in zip(folds, again, strict=True))

    def test_fewer_groups_than_inner_folds(self):
        samples = make_samples(list("AB") * 50, [f"donor{i // 20}" for i in range(100)])
        with pytest.raises(
            SplitError, match="tuning.inner_folds: 4 inner folds need at least 4 groups.*lie in 3"
        ):
            Splitter(group="g", folds=5).inner_folds(samples, np.arange(60), 4, 0)
