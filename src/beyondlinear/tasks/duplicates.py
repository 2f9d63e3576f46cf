"""Samples that are copies of each other, exactly or nearly: wherever they lie in two parts, one
gives the other away."""

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.stats import chi2, poisson

from beyondlinear.data.scaling import Preparation, fit_preparation
from beyondlinear.runtime.seeds import stream

NEAR = 0.9999  # Pearson correlation of two standardised profiles
FEWEST_GENES = 20  # that vary; in fewer dimensions unrelated profiles point the same way by chance
NOT_SEARCHED = -2  # the number of a near set where too few genes vary
CHANCE = 1e-3  # equal rows are no finding if unrelated samples have as many with this probability

PROJECTIONS = 32  # random directions that sift candidate pairs
TREE_PROJECTIONS = 8  # of these, those that the tree searches: it slows down with dimensions
MISSED = 5e-7  # share of true pairs that each of the two sieves may lose
BLOCK = 256  # rows
CANDIDATES = 200_000  # pairs at a time


def find_duplicates(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sets of exact and of near duplicates: two (n,) int64 arrays, the number of a sample's set or
    −1.

    Exact duplicates have the same values (−0.0 is 0.0). If genes take few values, unrelated samples
    can be equal too: sets are found only where there are more equal pairs than independent genes
    would give.

    Near duplicates are samples whose profiles, z-scored per gene over all samples, correlate above
    0.9999, and samples linked through such pairs. Raw profiles will not do: a few strong genes
    dominate them, so that all samples of one tissue correlate. They are compared once more without
    what a factor or a constant of the whole sample does to z-scores (depth, on a raw or a log
    scale), so that a copy of other depth is found as well. A near set has at least two different
    profiles, and then holds all exact copies of each. With fewer than 20 genes that vary nothing is
    searched: all are NOT_SEARCHED.

    A row that is constant over all genes, e.g. all zero, carries no identity and is in no set.
    :param x: (n, n_genes) float32, finite; read block by block and never copied
    """
    n = len(x)
    first = _first_equal(x)
    usable = x.min(1) != x.max(1)
    exact = _numbered(first, usable)
    sizes = np.bincount(exact[exact >= 0])
    n_pairs = int((sizes * (sizes - 1) // 2).sum())
    if n_pairs and poisson.sf(n_pairs - 1, _equal_by_chance(x, usable)) >= CHANCE:
        exact[:] = -1
    if (x.min(0) != x.max(0)).sum() < FEWEST_GENES:
        return exact, np.full(n, NOT_SEARCHED, dtype=np.int64)
    # of equal rows only the first is searched: of each, the first row that near pairs link it to
    profiles = np.flatnonzero(usable & (first == np.arange(n)))
    linked = np.arange(n)
    linked[profiles] = profiles[_linked(x, profiles)]
    # the sets of at least two different profiles, by their first row
    has_near = np.zeros(n, dtype=bool)
    is_linked = linked[profiles] != profiles
    has_near[linked[profiles][is_linked]] = True
    linked = linked[first]
    return exact, _numbered(linked, usable & has_near[linked])


@dataclass(frozen=True)
class SharedDuplicates:
    """Rows of two parts a and b that have a duplicate in the other part and in another group.

    of_a, of_b: positions of these rows; example: a pair, one of each part.
    """

    of_a: np.ndarray
    of_b: np.ndarray
    example: tuple[int, int]


def shared_duplicates(
    sets: np.ndarray,
    groups: np.ndarray,
    in_a: np.ndarray,
    in_b: np.ndarray,
    unlike: np.ndarray | None = None,
) -> SharedDuplicates | None:
    """Duplicates between two parts and between groups; None where there are none.

    :param sets: (n,) exact or near sets of duplicates; groups: (n,) int64
    :param in_a: positions of the rows of a part; in_b: of another
    :param unlike: (n,) sets whose members are no pair either: the exact ones, where `sets` are the
        near ones
    """
    in_a = in_a[sets[in_a] >= 0]
    in_b = in_b[sets[in_b] >= 0]
    if len(in_a) == 0 or len(in_b) == 0:
        return None
    if unlike is not None:
        n = len(sets)
        unlike = np.where(unlike >= 0, unlike, n + np.arange(n))  # a sample is no pair with itself
    of_a = in_a[_n_duplicates(in_a, in_b, sets, groups, unlike) > 0]
    of_b = in_b[_n_duplicates(in_b, in_a, sets, groups, unlike) > 0]
    if len(of_a) == 0:
        return None
    first = of_a[0]
    pairs = (sets[of_b] == sets[first]) & (groups[of_b] != groups[first])
    if unlike is not None:
        pairs &= unlike[of_b] != unlike[first]
    return SharedDuplicates(of_a, of_b, (int(first), int(of_b[pairs][0])))


def _n_duplicates(
    rows: np.ndarray,
    others: np.ndarray,
    sets: np.ndarray,
    groups: np.ndarray,
    unlike: np.ndarray | None,
) -> np.ndarray:
    """(len(rows),) how many of `others` are in each row's set, but neither in its group nor in its
    set of `unlike`: by inclusion and exclusion."""

    def n_equal(key: np.ndarray) -> np.ndarray:
        """How many of the others have the key of each row."""
        return np.bincount(key[others], minlength=len(sets))[key[rows]]

    count = n_equal(_key(sets)) - n_equal(_key(sets, groups))
    if unlike is None:
        return count
    # all of a set of `unlike` are in one set of `sets`
    of_unlike = n_equal(_key(unlike)) - n_equal(_key(unlike, groups))
    return count - of_unlike


def _key(*columns: np.ndarray) -> np.ndarray:
    """(n,) numbers below n, equal where all columns are."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        numbers = np.unique(column, return_inverse=True)[1]
        key = np.unique(key * len(numbers) + numbers, return_inverse=True)[1]
    return key


def _first_equal(x: np.ndarray) -> np.ndarray:
    """(n,) position of the first row with the same values."""
    seen: dict[bytes, int] = {}
    first = np.empty(len(x), dtype=np.int64)
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK] + np.float32(0)  # turns −0.0 into 0.0
        for i, row in enumerate(block, start):
            first[i] = seen.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), i)
    return first


def _numbered(labels: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Sets of equal labels numbered from 0; −1 for rows not included and for sets of one row."""
    numbers = np.full(len(labels), -1, dtype=np.int64)
    _, inverse, sizes = np.unique(labels[included], return_inverse=True, return_counts=True)
    number_of_set = np.cumsum(sizes > 1) - 1
    numbers[included] = np.where(sizes[inverse] > 1, number_of_set[inverse], -1)
    return numbers


def _equal_by_chance(x: np.ndarray, usable: np.ndarray) -> float:
    """Pairs of rows expected to be equal if genes were independent: number of pairs × Π_genes P(two
    values are equal)."""
    n = int(usable.sum())
    expected = n * (n - 1) / 2
    for gene in range(x.shape[1]):
        counts = np.unique(x[usable, gene], return_counts=True)[1].astype(np.float64)
        expected *= float((counts * (counts - 1)).sum() / (n * (n - 1)))
        if expected < 1e-9:
            break
    return expected


def _linked(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of each of the given rows, the position (among them) of the first row that near pairs link it
    to.

    For a unit vector u and Gaussian directions R, ‖R(u − v)‖² is ‖u − v‖²·χ², and ‖u − v‖² = 2(1 −
    r). So pairs with r > NEAR lie within a known radius in a few projections, where a tree finds
    them, and every candidate is then checked on its profiles.
    """
    genes = np.flatnonzero(x.min(0) != x.max(0))
    if len(genes) < FEWEST_GENES or len(rows) < 2:
        return np.arange(len(rows))
    whole = fit_preparation(x, np.arange(len(x)), top_variance=None, scale="standardise")
    assert whole.shift is not None
    assert whole.factor is not None
    shift, factor = whole.shift[genes], whole.factor[genes]
    z_scores = Preparation(genes if len(genes) < x.shape[1] else None, shift, factor)
    mean = np.full((len(genes), 1), len(genes) ** -0.5, dtype=np.float32)
    # a·x + b has z-scores a·z + (a − 1)·shift·factor + b·factor
    spanning = np.column_stack([mean[:, 0], factor, shift * factor]).astype(np.float64)
    depth = np.linalg.qr(spanning)[0].astype(np.float32)
    labels = np.arange(len(rows))
    for without in (mean, depth):
        labels = _linked_without(x, rows, z_scores, without, labels)
    return labels


def _linked_without(
    x: np.ndarray, rows: np.ndarray, z_scores: Preparation, depth: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """`labels` with the near pairs of the profiles without the directions of `depth` (n_genes, k)
    linked as well."""
    n_genes = len(depth)
    directions = stream(0, "duplicates").standard_normal((n_genes, PROJECTIONS), dtype=np.float32)
    blocks = [rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)]
    sketch = np.concatenate([_profiles(x, some, z_scores, depth) @ directions for some in blocks])
    points = sketch[:, :TREE_PROJECTIONS]
    tree = cKDTree(points)
    radius_in_tree = _radius(TREE_PROJECTIONS)
    n_close = tree.query_ball_point(points, radius_in_tree, return_length=True)
    for block in _blocks(np.flatnonzero(n_close > 1), n_close):
        pairs = cKDTree(points[block]).sparse_distance_matrix(
            tree, radius_in_tree, output_type="ndarray"
        )
        a, b = block[pairs["i"]], pairs["j"]
        # linked already: nothing to learn, however many rows are alike
        unlinked = (a < b) & (labels[a] != labels[b])
        a, b = a[unlinked], b[unlinked]
        # one direction at a time, so that no array of all pairs × directions is made
        squared_distances = np.zeros(len(a), dtype=np.float32)
        for along in sketch.T:
            squared_distances += (along[a] - along[b]) ** 2
        close = squared_distances <= _radius(PROJECTIONS) ** 2
        a, b = np.unique(a[close]), np.unique(b[close])
        profiles = _profiles(x, rows[a], z_scores, depth).astype(np.float64)
        for start in range(0, len(b), BLOCK):
            others = b[start : start + BLOCK]
            of_others = _profiles(x, rows[others], z_scores, depth).astype(np.float64)
            i, j = (profiles @ of_others.T > NEAR).nonzero()
            labels = _joined(labels, a[i], others[j])
    return labels


def _radius(n_projections: int) -> float:
    """Distance within which all but MISSED of the pairs with correlation NEAR lie in so many
    projections: ‖u − v‖² = 2(1 − r), times χ²."""
    return float(np.sqrt(2 * (1 - NEAR) * chi2.isf(MISSED, n_projections)))


def _blocks(rows: np.ndarray, n_close: np.ndarray) -> list[np.ndarray]:
    """The rows in blocks with few rows and, together, few candidates."""
    if len(rows) == 0:
        return []
    by_candidates = np.cumsum(n_close[rows]) // CANDIDATES
    by_rows = np.arange(len(rows)) // BLOCK
    starts = np.flatnonzero(np.diff(by_candidates + by_rows)) + 1
    return np.split(rows, starts)


def _profiles(
    x: np.ndarray, rows: np.ndarray, z_scores: Preparation, depth: np.ndarray
) -> np.ndarray:
    """z-scored rows without the directions of `depth`, the mean among them, and of norm 1: their
    inner products are Pearson correlations. What is left of a row that was nothing else is
    rounding, and becomes 0."""
    z = z_scores.apply(x, rows)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    z -= (z @ depth) @ depth.T
    rest = np.linalg.norm(z, axis=1, keepdims=True)
    z *= (rest > 1e-4 * length) / np.maximum(rest, np.finfo(np.float32).tiny)
    return z


def _joined(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Labels after linking a[k] with b[k]; a set is labelled by its first row."""
    if len(a) == 0:
        return labels
    n = len(labels)
    graph = coo_array((np.ones(len(a), dtype=np.int8), (labels[a], labels[b])), shape=(n, n))
    sets = connected_components(graph, directed=False)[1][labels]
    _, first, inverse = np.unique(sets, return_index=True, return_inverse=True)
    return first[inverse]
