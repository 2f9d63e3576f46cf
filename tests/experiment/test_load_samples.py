"""The samples of a run, and what a record says of them."""

import logging

from made_up import make_samples

from beyondlinear.experiment.load_samples import describe, load_samples
from beyondlinear.runtime.config import build

SMALL = ["dataset=simulated_mixed", "dataset.n_samples=60", "dataset.n_genes=8"]


def loaded(cfg, tmp_path):
    return load_samples(cfg, build(cfg.split), tmp_path)


def test_one_line_says_what_there_is(compose_config, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    samples, data = loaded(compose_config(*SMALL), tmp_path)
    assert (
        "simulated_mixed: 60 samples × 8 genes, 60 groups; task label: class_0 30, class_1 30"
        in caplog.text
    )
    assert samples.x.shape == (60, 8)
    assert (data["n_samples"], data["n_genes"], data["n_groups"]) == (60, 8, 60)
    assert data["classes"] == ["class_0", "class_1"]
    assert data["bayes_accuracy"] > 0.99
    assert "control" not in data


def test_a_control_replaces_what_is_known_of_the_data(compose_config, tmp_path):
    data = loaded(compose_config(*SMALL, "control=linear_labels"), tmp_path)[1]
    assert data["bayes_accuracy"] == data["control"]["bayes_accuracy"]
    assert 0.5 < data["bayes_accuracy"] <= 1


def test_described_as_they_are():
    samples = make_samples(["a", "b", "a", "b"], groups=[0, 0, 1, 1])
    described = describe(samples)
    assert described["fingerprint"] == samples.fingerprint()
    assert (described["n_samples"], described["n_groups"]) == (4, 2)
    assert described["confounding"] is None
