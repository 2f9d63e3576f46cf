"""The claims of test_science.py on the paper's own sizes: 1,000 samples, 5,000 genes (linear:
2,500), 5 folds, all fits."""

import pytest
from made_up import mean_accuracy

pytestmark = pytest.mark.slow

CHANCE, NOISE, LEARNT, KEPT = (0.44, 0.56), (0.42, 0.58), (0.99, 1.0), (0.95, 1.0)
LINEAR = ("logistic_regression", "linear_svm")
NETS = ("three_layer", "five_layer")

CLAIMS = [
    *((model, "simulated_mixed", "none", LEARNT) for model in LINEAR + NETS),
    *((model, "simulated_mixed", "class_means", CHANCE) for model in LINEAR),
    *((model, "simulated_mixed", "class_means", KEPT) for model in NETS),
    *((model, "simulated_linear", "none", LEARNT) for model in LINEAR + NETS),
    *((model, "simulated_linear", "class_means", CHANCE) for model in LINEAR + NETS),
    *(
        (model, "simulated_noise", removal, NOISE)
        for model in LINEAR + NETS
        for removal in ("none", "class_means")
    ),
    ("logistic_regression", "simulated_noise", "class_means_before_split", (0.0, 0.35)),
]


@pytest.mark.parametrize(
    ("model", "dataset", "removal", "bounds"), CLAIMS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_claim(run_here, model, dataset, removal, bounds):
    records = run_here(
        f"model={model}", f"dataset={dataset}", f"signal_removal={removal}", "logger=none"
    )
    assert [r["status"] for r in records] == ["done"] * 5
    assert bounds[0] <= mean_accuracy(records) <= bounds[1]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("model", "dataset", "removal", "bounds"), [c for c in CLAIMS if c[0] in LINEAR]
)
def test_claim_of_linear_models_at_other_seeds(run_here, model, dataset, removal, bounds, seed):
    overrides = [
        f"model={model}",
        f"dataset={dataset}",
        f"signal_removal={removal}",
        f"seed={seed}",
        "logger=none",
    ]
    assert bounds[0] <= mean_accuracy(run_here(*overrides)) <= bounds[1]
