import numpy as np
import pytest
from made_up import mean_accuracy

from beyondlinear.data.simulated.tilted import simulated_clusters
from beyondlinear.models.linear.null_model import NullModel
from beyondlinear.removal.matching import MatchingRemoval
from beyondlinear.removal.modes import Rows
from beyondlinear.runtime.errors import RemovalError


def rows(x: np.ndarray, codes: np.ndarray, name: str = "train", start: int = 0) -> Rows:
    where = np.arange(start, start + len(x))
    return Rows(x.astype(np.float32), codes, ["a", "b"], name, where, where)


def matching_by(coefficients: list[float]) -> MatchingRemoval:
    w = np.array(coefficients)
    law = NullModel(
        np.empty((0, 2)), np.empty((0, 2)), 1.0, 0.0, 1.0, np.c_[-w / 2, w / 2], np.zeros(2)
    )
    return MatchingRemoval(null_model=law)


def test_a_sample_stays_with_the_odds_of_the_other_class():
    """P(b) = σ(ln 3) = 3/4: of class b a third stays, of class a everything; what stays is half and
    half."""
    n = 30_000
    codes = (np.arange(n) % 4 > 0).astype(int)
    stays = matching_by([np.log(3.0)]).rows_to_keep(rows(np.ones((n, 1)), codes))
    assert stays[codes == 0].all()
    assert stays[codes == 1].mean() == pytest.approx(1 / 3, abs=0.01)
    assert codes[stays].mean() == pytest.approx(0.5, abs=0.01)


def test_nothing_is_changed_in_what_stays_and_every_model_keeps_the_same_samples():
    part = rows(np.random.default_rng(0).normal(size=(200, 1)), np.arange(200) % 2, start=50)
    before = part.x.copy()
    matching = matching_by([2.0])
    kept = matching.rows_to_keep(part)
    matching.transform(part)
    np.testing.assert_array_equal(part.x, before)
    # a sample's chance is its own, whoever else is in the part
    half = Rows(
        part.x[100:],
        part.codes[100:],
        ["a", "b"],
        "validation",
        part.positions[100:],
        part.groups[100:],
    )
    np.testing.assert_array_equal(matching.rows_to_keep(half), kept[100:])


def test_linear_labels_on_clusters_are_gone_for_the_linear_law_itself():
    """Where the law is known, what stays is balanced in every cluster, however unequal the clusters
    were."""
    data = simulated_clusters(n_samples=20_000, n_genes=10)
    codes = (data.obs.label == "class_1").to_numpy().astype(int)
    cluster = data.obs.cluster.to_numpy()
    theta, intercept = data.uns["theta"], data.uns["intercept"]
    law = NullModel(
        np.empty((0, 2)),
        np.empty((0, 2)),
        *(1.0, 0.0, 1.0),
        np.c_[-theta / 2, theta / 2],
        np.array([-intercept / 2, intercept / 2]),
    )
    stays = MatchingRemoval(null_model=law).rows_to_keep(rows(data.X, codes))
    raw = [codes[cluster == c].mean() for c in np.unique(cluster)]
    left = [codes[stays & (cluster == c)].mean() for c in np.unique(cluster)]
    assert max(raw) - min(raw) > 0.4
    n = [(stays & (cluster == c)).sum() for c in np.unique(cluster)]
    for share, size in zip(left, n, strict=True):
        assert abs(share - 0.5) < 4 * np.sqrt(0.25 / size)


def test_the_train_part_is_judged_out_of_fold():
    """As many genes as samples: the law that saw a sample would be sure of it and drop nearly
    all."""
    random = np.random.default_rng(0)
    part = rows(random.normal(size=(300, 300)), random.integers(0, 2, 300))
    learnt = MatchingRemoval().fit(part)
    assert learnt.rows_to_keep(part).mean() > 0.6


def test_a_perfect_linear_model_leaves_nothing():
    x = np.random.default_rng(0).normal(size=(200, 3))
    x[:, 0] += np.repeat([-8, 8], 100)
    with pytest.raises(
        RemovalError,
        match=r"redundant: .* of class '[ab]' only \d of 100 samples of the train part",
    ):
        MatchingRemoval().fit(rows(x, np.repeat([0, 1], 100)))


def test_constant_genes():
    with pytest.raises(
        RemovalError, match=r"matching needs a linear model of the train part\. no gene varies"
    ):
        MatchingRemoval().fit(rows(np.ones((60, 2)), np.arange(60) % 2))


SMALL = [
    "split.folds=3",
    "trainer.threads=2",
    "leak_probes.trees=100",
    "model=ridge_logistic",
    "signal_removal=matching",
]


@pytest.mark.parametrize(
    "dataset", ["simulated_clusters", "simulated_bernoulli", "simulated_zero_inflated"]
)
def test_linear_labels_leave_every_leak_probe_near_chance(run_here, dataset):
    records = run_here(*SMALL, f"dataset={dataset}")
    assert abs(mean_accuracy(records) - 0.5) < 0.06
    assert abs(np.mean([r["leak_probes"]["forest"] for r in records]) - 0.5) < 0.06
    assert abs(np.mean([r["leak_probes"]["norm_auc"] for r in records]) - 0.5) < 0.06


def test_the_record_counts_what_stays_and_the_audit_knows_the_rest(run_here):
    [record, *_] = run_here(*SMALL, "dataset=simulated_clusters", "dataset.n_samples=600")
    parts = record["row_usage"]["parts"]
    assert record["counts"]["n_train"] == parts["train"]["n"]
    assert parts["thinned train"]["n"] > 0
    assert [f["severity"] for f in record["audit"]] == ["note"]
    assert record["removal"]["labels_of"] == "every part"


def test_a_perfect_linear_model_is_a_recorded_skip(run_here):
    records = run_here(
        *SMALL, "dataset=simulated_mixed", "dataset.n_samples=200", "dataset.n_genes=60"
    )
    assert {r["status"] for r in records} == {"skipped"}
    assert all(
        r["reason"].startswith("redundant: the linear model is so sure of its classes")
        for r in records
    )


def test_or_projection_instead_with_a_warning(run_here):
    records = run_here(
        *SMALL,
        "signal_removal.otherwise=projection",
        "dataset=simulated_mixed",
        "dataset.n_samples=200",
        "dataset.n_genes=60",
    )
    assert abs(mean_accuracy(records) - 0.5) < 0.15
    assert (
        np.mean([r["leak_probes"]["forest"] for r in records]) > 0.95
    )  # the non-linear half of the genes is still there
    assert any("matching is redundant" in w for w in records[0]["warnings"])
    assert records[0]["removal"]["labels_of"] == "the train part"
