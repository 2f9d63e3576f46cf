"""What fits of a run share: preparation, rows, inner products."""

import numpy as np
from made_up import make_context

SMALL = ["dataset=simulated_mixed", "dataset.n_samples=40", "dataset.n_genes=60"]


def test_a_model_is_given_the_selected_genes(compose_config):
    assert make_context(compose_config(*SMALL)).n_genes == 60
    assert make_context(compose_config(*SMALL, "select.top_variance=25")).n_genes == 25
    assert make_context(compose_config(*SMALL, "select.top_variance=99")).n_genes == 60


def test_preparation_is_fitted_on_the_rows_it_is_given(compose_config):
    context = make_context(compose_config(*SMALL))
    rows = np.arange(20)
    prepared = context.fit_preparation(rows).apply(context.samples.x, rows)
    np.testing.assert_allclose(prepared.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std(0), 1, atol=1e-4)


def test_inner_products_are_shared_only_where_every_fit_prepares_its_genes_alike(compose_config):
    scaled = make_context(compose_config(*SMALL))
    assert scaled.shared_gram is None  # scaling is fitted on each fit's own rows
    unscaled = make_context(compose_config(*SMALL, "scale=none"))
    assert unscaled.shared_gram is not None
    few_genes = make_context(compose_config(*SMALL[:2], "dataset.n_genes=10", "scale=none"))
    assert few_genes.shared_gram is None  # more samples than genes: nothing is saved
