"""Inner products that fits share are those of their own prepared rows."""

import numpy as np
import pytest
from made_up import make_context

from beyondlinear.experiment.prepare import prepare, shared_inner_products


@pytest.mark.parametrize("removal", ["none", "class_means"])
def test_they_are_the_products_of_the_rows_after_removal(compose_config, removal):
    cfg = compose_config(
        "dataset=simulated_mixed",
        "dataset.n_samples=40",
        "dataset.n_genes=60",
        "scale=none",
        f"signal_removal={removal}",
    )
    context = make_context(cfg)
    fold = context.splitter.outer(context.samples, 0)[0]
    rows = context.splitter.inner(context.samples, fold, 1.0, 0)
    gram = shared_inner_products(context, rows, fold.train, context.removal)
    parts = prepare(context, rows, fold.train, context.removal).parts
    train, test = (parts[name].x.astype(np.float64) for name in ("train", "test"))

    # the shared matrix is about the mean of all samples: products of differences are the same
    differences = train - train[:1]
    expected = differences @ differences.T
    g = gram.train.numpy()
    of_differences = g - g[:1] - g[:, :1] + g[0, 0]
    np.testing.assert_allclose(of_differences, expected, atol=1e-3 * np.abs(expected).max())
    others = gram.others["test"].numpy()
    across = (test - test[:1]) @ (train - train[:1]).T
    of_test = others - others[:1] - others[:, :1] + others[0, 0]
    np.testing.assert_allclose(of_test, across, atol=1e-3 * np.abs(across).max())
