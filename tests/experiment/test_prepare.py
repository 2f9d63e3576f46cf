"""The parts of a fit: the order of splitting, scaling and signal removal."""

import numpy as np
from made_up import make_context

from beyondlinear.experiment.prepare import prepare


def first_parts(cfg, fraction: float):
    context = make_context(cfg)
    fold = context.splitter.outer(context.samples, 0)[0]
    rows = context.splitter.inner(context.samples, fold, fraction, 0)
    return prepare(context, rows, fold.train, context.removal).parts


def test_removal_comes_after_train_and_validation_are_apart(compose_config):
    """Bug 6 of the published code: removal before subsetting leaves signal of opposite sign in
    train and validation."""
    differences = {}
    for protocol in ("sound", "paper"):
        cfg = compose_config(
            "dataset=simulated_linear",
            "dataset.n_samples=200",
            "dataset.n_genes=30",
            f"protocol={protocol}",
            "signal_removal=class_means",
            "scale=none",
        )
        parts = first_parts(cfg, 0.5)
        differences[protocol] = {
            name: (
                part.x[part.codes == 1].mean(0, dtype=np.float64)
                - part.x[part.codes == 0].mean(0, dtype=np.float64)
            )
            for name, part in parts.items()
        }
    assert all(np.abs(d).max() < 1e-5 for d in differences["sound"].values())
    paper = differences["paper"]
    assert np.abs(paper["train"]).max() > 0.1
    assert np.corrcoef(paper["train"], paper["validation"])[0, 1] < -0.1
    assert np.abs(paper["test"]).max() < 1e-5


def test_protocol_paper_scales_over_all_samples(compose_config):
    largest = {}
    for protocol in ("sound", "paper"):
        data = ["dataset=simulated_noise", "dataset.n_samples=100", "dataset.n_genes=40"]
        cfg = compose_config(*data, f"protocol={protocol}", "scale=minmax")
        parts = first_parts(cfg, 1.0)
        largest[protocol] = {name: part.x.max(0) for name, part in parts.items()}
    # sound: every gene reaches 1 in the train part, and test, unseen, goes beyond it
    assert np.allclose(largest["sound"]["train"], 1, atol=1e-6)
    assert largest["sound"]["test"].max() > 1.01
    # paper: the largest value of a gene over all samples is 1, wherever it lies
    assert np.allclose(np.max(list(largest["paper"].values()), axis=0), 1, atol=1e-6)
    assert largest["paper"]["train"].min() < 0.99


def test_what_was_fitted_on_which_rows_is_returned(compose_config):
    data = ["dataset=simulated_noise", "dataset.n_samples=100", "dataset.n_genes=8"]
    for protocol, n_preparation, n_removal in (("sound", 64, 64), ("paper", 100, 80)):
        context = make_context(
            compose_config(*data, f"protocol={protocol}", "signal_removal=class_means")
        )
        fold = context.splitter.outer(context.samples, 0)[0]
        rows = context.splitter.inner(context.samples, fold, 1.0, 0)
        prepared = prepare(context, rows, fold.train, context.removal)
        # 100 samples: 20 test, 80 for training, of which 64 train and 16 validation
        assert [len(prepared.parts[name]) for name in prepared.parts] == [64, 16, 20]
        assert len(prepared.preparation_rows) == n_preparation
        assert len(prepared.removal_rows) == n_removal
        assert prepared.removal_carries_over is (protocol == "paper")
