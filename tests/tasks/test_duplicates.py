import tracemalloc

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from beyondlinear.data.simulated import gaussian as simulated
from beyondlinear.data.simulated import tilted
from beyondlinear.tasks.duplicates import NOT_SEARCHED, find_duplicates, shared_duplicates

NONE = [-1] * 6


def noise(n: int, n_genes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, n_genes), dtype=np.float32)


def correlations(x: np.ndarray) -> np.ndarray:
    """The larger of the correlations of z-scored profiles, as they are and without what depth does
    to them; from the definition, by least squares."""
    z = x[:, x.min(0) != x.max(0)].astype(np.float64)
    mean, sd = z.mean(0), z.std(0)
    z = (z - mean) / sd
    depth = np.column_stack([np.ones(len(mean)), 1 / sd, mean / sd])
    rest = z - (depth @ np.linalg.lstsq(depth, z.T, rcond=None)[0]).T
    return np.maximum(np.corrcoef(z), np.corrcoef(rest))


class TestExact:
    def test_rows_with_the_same_values(self):
        x = noise(6, 30)
        x[4], x[2], x[5] = x[0], x[1], x[1]
        assert find_duplicates(x)[0].tolist() == [0, 1, 1, -1, 0, 1]

    def test_exact_copies_alone_are_no_near_set(self):
        x = noise(6, 30)
        x[4] = x[0]
        assert find_duplicates(x)[1].tolist() == NONE

    def test_negative_zero_is_zero(self):
        x = noise(6, 30)
        x[3] = x[1]
        x[3, 7], x[1, 7] = 0.0, -0.0
        assert find_duplicates(x)[0].tolist() == [-1, 0, -1, 0, -1, -1]

    def test_one_other_value_makes_another_sample(self):
        x = noise(6, 30)
        x[3] = x[1]
        x[3, 7] += 1.0
        assert find_duplicates(x)[0].tolist() == NONE

    def test_constant_rows_carry_no_identity(self):
        x = noise(6, 30)
        x[1], x[2], x[3], x[4] = 0.0, 0.0, 5.0, 5.0
        assert [sets.tolist() for sets in find_duplicates(x)] == [NONE, NONE]

    def test_one_sample(self):
        assert [sets.tolist() for sets in find_duplicates(noise(1, 30))] == [[-1], [NOT_SEARCHED]]

    def test_equal_rows_that_chance_explains_are_no_finding(self):
        """200 samples of 8 genes on or off can be only 256 different rows."""
        x = (noise(200, 8) > 0).astype(np.float32)
        assert len(np.unique(x, axis=0)) < 150
        assert find_duplicates(x)[0].tolist() == [-1] * 200

    def test_more_equal_rows_than_chance_explains_are(self):
        """2,000 samples of 30 such genes make 2·10⁶/2³⁰ = 0.002 equal pairs by chance; here are
        three."""
        x = (noise(2000, 30) > 0).astype(np.float32)
        x[1000:1003] = x[:3]
        found = find_duplicates(x)[0]
        assert np.flatnonzero(found >= 0).tolist() == [0, 1, 2, 1000, 1001, 1002]
        assert found[:3].tolist() == found[1000:1003].tolist()


class TestNear:
    def test_above_the_threshold_and_not_below_it(self):
        x = noise(300, 400)
        x[100] = x[0] + 0.010 * noise(1, 400, seed=1)[0]
        x[101] = x[1] + 0.018 * noise(1, 400, seed=2)[0]
        r = correlations(x)
        assert r[0, 100] > 0.99993
        assert 0.9998 < r[1, 101] < 0.9999
        exact, near = find_duplicates(x)
        assert np.flatnonzero(near >= 0).tolist() == [0, 100]
        assert (exact == -1).all()

    @pytest.mark.parametrize("n_genes", [20, 300])
    def test_the_same_sets_as_all_pairs_at_once(self, n_genes):
        """Copies with noise of many sizes, so that many pairs lie close to the threshold on either
        side."""
        sizes = np.random.default_rng(5).uniform(0, 0.025, (600, 1))
        x = np.tile(noise(200, n_genes), (3, 1)) + (sizes * noise(600, n_genes, seed=1)).astype(
            np.float32
        )
        r = correlations(x)
        assert np.abs(r - 0.9999).min() > 1e-7  # no pair that rounding could decide
        labels = connected_components(coo_array(r > 0.9999), directed=False)[1]
        expected = np.bincount(labels)[labels] > 1
        near = find_duplicates(x)[1]
        assert 50 < expected.sum() < 550
        assert (near >= 0).tolist() == expected.tolist()
        assert len({*zip(near[expected], labels[expected], strict=True)}) == len(
            set(labels[expected])
        )

    def test_no_pair_just_above_the_threshold_is_lost(self):
        x = noise(4000, 50)
        x[2000:] = x[:2000] + 0.0125 * noise(2000, 50, seed=1)
        r = correlations(x)[np.arange(2000), np.arange(2000, 4000)]
        near = find_duplicates(x)[1]
        assert np.median(r) < 0.99994
        clear = np.abs(r - 0.9999) > 3e-7  # what rounding cannot decide
        assert clear.sum() > 1900
        found = (near[:2000] == near[2000:]) & (near[:2000] >= 0)
        assert found[clear].tolist() == (r > 0.9999)[clear].tolist()

    def test_a_chain_is_one_set_and_exact_copies_come_with_it(self):
        x = noise(300, 400)
        x[10] = x[0] + 0.011 * noise(1, 400, seed=1)[0]
        x[20] = x[10] + 0.011 * noise(1, 400, seed=2)[0]
        x[30] = x[20]
        r = correlations(x)
        assert min(r[0, 10], r[10, 20]) > 0.9999 > r[0, 20]
        exact, near = find_duplicates(x)
        assert np.flatnonzero(near == 0).tolist() == [0, 10, 20, 30]
        assert np.flatnonzero(exact == 0).tolist() == [20, 30]

    def test_a_tissue_whose_raw_profiles_are_alike_is_none(self):
        """A few strong genes make raw profiles correlate; standardised ones still differ."""
        x = noise(50, 100) + 1000 * np.abs(noise(1, 100, seed=1))
        assert np.corrcoef(x).min() > 0.9999
        assert (find_duplicates(x)[1] == -1).all()

    def test_too_few_genes_that_vary(self):
        x = np.full((50, 100), 3, dtype=np.float32)
        x[:, :20] = noise(50, 20)
        x[7, :20] = x[3, :20] + 0.001
        assert np.flatnonzero(find_duplicates(x)[1] >= 0).tolist() == [3, 7]
        x[:, 19] = 3
        assert (find_duplicates(x)[1] == NOT_SEARCHED).all()

    def test_a_copy_of_other_depth_is_found(self):
        """A factor on raw values, a constant on log values: z-scores by gene alone would not know
        them again."""
        rng = np.random.default_rng(3)
        x = (rng.uniform(2, 12, 400) + rng.uniform(0.2, 2, 400) * noise(300, 400)).astype(
            np.float32
        )
        x[100], x[101] = x[0] * 1.05, x[1] + 0.3
        plain = np.corrcoef((x - x.mean(0)) / x.std(0))
        assert max(plain[0, 100], plain[1, 101]) < 0.995
        near = find_duplicates(x)[1]
        assert np.flatnonzero(near >= 0).tolist() == [0, 1, 100, 101]
        assert near[0] == near[100] != near[1] == near[101]

    def test_very_many_alike_are_one_set_in_bounded_memory(self):
        x = np.repeat(noise(1, 40), 3000, axis=0) + 0.001 * noise(3000, 40, seed=1)
        x = np.concatenate([x, noise(3000, 40, seed=2)])
        tracemalloc.start()
        near = find_duplicates(x)[1]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (near[:3000] == 0).all()
        assert (near[3000:] == -1).all()
        assert peak < 30e6  # the 4.5 million pairs alone would be 72 MB

    def test_no_copy_of_x_is_made(self):
        x = noise(8000, 1000)
        tracemalloc.start()
        find_duplicates(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 2


@pytest.mark.parametrize(
    "simulate",
    [
        simulated.simulated_linear,
        simulated.simulated_mixed,
        simulated.simulated_noise,
        tilted.simulated_bernoulli,
        tilted.simulated_clusters,
        tilted.simulated_counts,
        tilted.simulated_zero_inflated,
    ],
)
def test_simulations_have_none(simulate):
    exact, near = find_duplicates(simulate().X)
    assert (exact == -1).all()
    assert (near == -1).all()


class TestAcross:
    GROUPS = np.array([0, 1, 2, 3, 4, 4])

    def test_both_sides_and_an_example(self):
        sets = np.array([0, -1, 0, -1, 1, 1])
        found = shared_duplicates(sets, self.GROUPS, np.array([0, 1, 4]), np.array([2, 3]))
        assert found is not None
        assert (found.of_a.tolist(), found.of_b.tolist(), found.example) == ([0], [2], (0, 2))

    def test_samples_of_no_set_and_copies_in_one_part_are_none(self):
        assert (
            shared_duplicates(
                np.array([0, 0, -1, -1, -1, -1]), self.GROUPS, np.array([0, 1]), np.array([2, 3])
            )
            is None
        )

    def test_copies_of_one_group_are_left_to_the_check_of_groups(self):
        sets = np.array([-1, -1, -1, -1, 0, 0])
        assert shared_duplicates(sets, self.GROUPS, np.array([4]), np.array([5])) is None
        sets[0] = 0
        found = shared_duplicates(sets, self.GROUPS, np.array([0, 4]), np.array([5]))
        assert found is not None
        assert (found.of_a.tolist(), found.of_b.tolist()) == ([0], [5])

    def test_a_sample_in_both_parts_is_no_copy_of_itself(self):
        sets = np.zeros(6, dtype=np.int64)
        assert shared_duplicates(sets, self.GROUPS, np.array([0]), np.array([0])) is None
        assert (
            shared_duplicates(
                sets, self.GROUPS, np.array([0]), np.array([0]), unlike=np.full(6, -1)
            )
            is None
        )

    def test_exact_copies_are_no_near_pair(self):
        near, exact = np.array([0, 0, 0, -1, -1, -1]), np.array([0, 0, -1, -1, -1, -1])
        assert (
            shared_duplicates(near, self.GROUPS, np.array([0]), np.array([1]), unlike=exact) is None
        )
        found = shared_duplicates(near, self.GROUPS, np.array([0]), np.array([1, 2]), unlike=exact)
        assert found is not None
        assert (found.of_a.tolist(), found.of_b.tolist(), found.example) == ([0], [2], (0, 2))

    def test_an_exact_copy_in_the_same_group_hides_no_near_pair(self):
        exact = np.array([-1, -1, -1, -1, 0, 0])
        found = shared_duplicates(
            np.zeros(6, dtype=np.int64), self.GROUPS, np.array([4]), np.array([2, 5]), unlike=exact
        )
        assert found is not None
        assert (found.of_a.tolist(), found.of_b.tolist(), found.example) == ([4], [2], (4, 2))
