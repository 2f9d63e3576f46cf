"""Against R limma's own output, and against values a reader can check."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beyondlinear.removal import limma
from beyondlinear.removal.limma import remove_batch_effect
from beyondlinear.runtime.errors import RemovalError

# What limma printed for the cases that are not of full rank. It calls the covariate by its
# position, "5".
NOT_ESTIMABLE = {
    "collinear_covariates": ("covariate2", 5),
    "design_fully_confounded": ("batch1", 4),
    "nan_three_class": (None, 4),
    "nested_rank_deficient": ("batch21", 5),
    "unused_level": ("batch2", 4),
}
LOST_BATCH2 = [
    "Coefficients not estimable: batch2 (taken as 0)",
    "Partial NA coefficients for 1 probe(s)",
]
CASES = [
    *NOT_ESTIMABLE,
    *(
        "all_singletons",
        "covariates",
        "covariates_only",
        "design_confounded",
        "design_preserve",
        "gene_weights",
    ),
    *(
        "five_class_imbalanced",
        "inf_values",
        "large_offset",
        "numeric_labels_order",
        "sample_weights",
    ),
    *("singleton_class", "two_batch_factors", "two_class", "zero_variance_and_01"),
]


def corrected(x: np.ndarray, *labels: Any, **arguments: Any) -> tuple[np.ndarray, list[str]]:
    """The corrected matrix and the warnings that came with it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = remove_batch_effect(x, *labels, **arguments)
    return out, [str(w.message) for w in caught]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("case", CASES)
def test_equals_limma(case: str, dtype: type, tolerance: float, shared: Path) -> None:
    golden = np.load(shared / "limma_golden" / f"{case}.npz", allow_pickle=False)
    arguments = {
        name: golden[name]
        for name in ("batch", "batch2", "covariates", "design", "levels")
        if name in golden
    }
    if "weights" in golden:
        arguments["weights"] = golden["weights"].T  # limma's are genes × samples
    x = golden["x"].T.astype(dtype)
    before = x.copy()
    out, messages = corrected(x, **arguments)

    scale = max(1.0, np.abs(x[np.isfinite(x)]).max())
    np.testing.assert_allclose(out, golden["out"].T, rtol=0, atol=tolerance * scale)
    assert out.dtype == dtype
    np.testing.assert_array_equal(x, before)
    lost, n_partial = NOT_ESTIMABLE.get(case, (None, 0))
    expected = [f"Coefficients not estimable: {lost} (taken as 0)"] if lost else []
    expected += [f"Partial NA coefficients for {n_partial} probe(s)"] if n_partial else []
    assert messages == expected


def test_every_golden_case_is_tested(shared: Path) -> None:
    assert sorted(CASES) == sorted(path.stem for path in (shared / "limma_golden").glob("*.npz"))


def test_two_classes_by_hand() -> None:
    # class means (2, 3) and (10, 0), their unweighted mean (6, 1.5)
    x = np.array([[1, 2], [3, 4], [10, 0]])
    np.testing.assert_allclose(
        remove_batch_effect(x, ["A", "A", "B"]), [[5.0, 0.5], [7.0, 2.5], [6.0, 1.5]], atol=1e-14
    )


def test_design_is_kept() -> None:
    # Balanced: treatment adds 8 and batch B adds 4, so the corrected values are those of the mean
    # batch.
    x = np.array([[0.0], [8.0], [4.0], [12.0]])
    design = np.array([[1, 0], [1, 1], [1, 0], [1, 1]])
    out = remove_batch_effect(x, ["A", "A", "B", "B"], design=design)
    np.testing.assert_allclose(out, [[2], [10], [2], [10]], atol=1e-14)


def test_a_sample_of_weight_zero_is_corrected_but_not_fitted() -> None:
    x = np.array([[1.0], [3.0], [100.0], [6.0]])
    out = remove_batch_effect(x, ["A", "A", "A", "B"], weights=[1, 1, 0, 1])
    np.testing.assert_allclose(out, [[3], [5], [102], [4]], atol=1e-13)


def test_values_that_are_not_finite_stay_and_are_not_fitted() -> None:
    x = np.array([[1.0], [3.0], [np.nan], [np.inf], [6.0]])
    out = remove_batch_effect(x, ["A", "A", "A", "B", "B"])
    np.testing.assert_allclose(out, [[3.0], [5.0], [np.nan], [np.inf], [4.0]], atol=1e-14)


def test_two_factors_and_covariates_equal_a_plain_least_squares_fit() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3))
    batch, batch2 = random.permutation(40) % 4, random.permutation(40) % 3
    covariates = random.normal(size=(40, 2))
    # Treatment coding spans the same space; only each gene's constant differs.
    effects = np.hstack([np.eye(4)[batch][:, 1:], np.eye(3)[batch2][:, 1:], covariates])
    model = np.hstack([np.ones((40, 1)), effects])
    residual = x - effects @ np.linalg.lstsq(model, x, rcond=None)[0][1:]
    out = remove_batch_effect(x, batch, batch2=batch2, covariates=covariates)
    np.testing.assert_allclose(out - out.mean(axis=0), residual - residual.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize(("share", "dropped"), [(2e-7, False), (0.5e-7, True)])
def test_a_column_is_dropped_below_the_tolerance_of_r(share: float, dropped: bool) -> None:
    # The second covariate is the first plus `share` of a direction at right angles to all others.
    first, other = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])
    covariates = np.column_stack([first, first + share * other])
    _, messages = corrected(np.eye(4), covariates=covariates)
    assert ("Coefficients not estimable: covariate2 (taken as 0)" in messages) is dropped


def test_levels_decide_which_coefficient_is_dropped() -> None:
    x = np.array([[0.0], [2.0], [6.0], [8.0]])
    batch = ["A", "A", "B", "B"]
    # Z last: columns A, B are (1, 0) and (0, 1); with the intercept the column of B is dropped, so
    # that of A is -6.
    out, messages = corrected(x, batch, levels=["A", "B", "Z"])
    np.testing.assert_allclose(out[:, 0], [6, 8, 6, 8], atol=1e-13)
    assert messages == LOST_BATCH2
    # Z first: Z's column is -1 where B is, A's 1 on A and -1 on B; Z's coefficient is -6 and A's is
    # dropped.
    out, messages = corrected(x, batch, levels=["Z", "A", "B"])
    np.testing.assert_allclose(out[:, 0], [0, 2, 0, 2], atol=1e-13)
    assert messages == LOST_BATCH2


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        # 2, 9, 10: the column of 9 is dropped; that of 2, -2 on it and 2 on 10, takes both to their
        # mean.
        ([2, 9, 10], [2, 10, 2]),
        # "10", "2", "9": the column of "2" is dropped; that of "10", 4 on it and -4 on "9", takes
        # "10" to "2".
        (["2", "9", "10"], [0, 14, 0]),
    ],
)
def test_numbers_are_ordered_as_numbers_and_strings_as_strings(
    batch: list[Any], expected: list[float]
) -> None:
    design = np.array(
        [[1, 0], [1, 1], [1, 0]]
    )  # keeps the mean and the second sample, so one coefficient is lost
    out, messages = corrected(np.array([[0.0], [10.0], [4.0]]), batch, design=design)
    assert messages == LOST_BATCH2
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-13)


def test_nothing_to_remove_gives_a_copy() -> None:
    x = np.array([[1.0, 2.0]])
    out = remove_batch_effect(x)
    assert out.tolist() == [[1.0, 2.0]]
    assert not np.shares_memory(out, x)


def test_the_result_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(12, 7))
    x[random.random(x.shape) < 0.2] = np.nan
    arguments: dict[str, Any] = {"batch": list("AAAABBBBCCCC"), "weights": random.random(x.shape)}
    whole = remove_batch_effect(x, **arguments)
    monkeypatch.setattr(limma, "_BLOCK_VALUES", 24)  # two genes a block, one in the last
    np.testing.assert_allclose(remove_batch_effect(x, **arguments), whole, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"batch": ["A", "A", "A"]},
            r"batch: \['A'\] is all its levels, an effect needs two or more",
        ),
        ({"batch": ["A", None, "B"]}, r"batch: no label in 1 of 3 rows \(first: row 1\)"),
        ({"batch": ["A", "B", ""]}, r"batch: no label in 1 of 3 rows \(first: row 2\)"),
        ({"batch2": [np.nan, 1.0, 2.0]}, r"batch2: no label in 1 of 3 rows \(first: row 0\)"),
        (
            {"batch": pd.Categorical(["A", None, "B"])},
            r"batch: no label in 1 of 3 rows \(first: row 1\)",
        ),
        ({"batch": ["A", "B"]}, r"batch: shape \(2,\); expected one label for each of the 3 rows"),
        (
            {"batch": ["A", "B", "blod"], "levels": ["A", "B", "blood"]},
            "'blod' is not .* did you mean 'blood'",
        ),
        ({"levels": ["A", "B"]}, "levels of batch: given without batch"),
        (
            {"batch": ["A", "B", "B"], "levels2": ["A", "B"]},
            "levels of batch2: given without batch2",
        ),
        ({"covariates": [1.0, 2.0]}, r"covariates: shape \(2, 1\); expected \(3, k\)"),
        ({"covariates": [1.0, np.nan, 2.0]}, "covariates: nan in row 1, column 0"),
        (
            {"covariates": ["a", "b", "c"]},
            "covariates: could not convert string to float: .* give numbers",
        ),
        ({"batch": ["A", "B", "B"], "design": np.ones((2, 1))}, r"design: shape \(2, 1\)"),
        (
            {"batch": ["A", "B", "B"], "weights": [1.0, 2.0]},
            r"weights: shape \(2,\); expected \(3,\), one a sample",
        ),
    ],
)
def test_errors_name_the_value_the_rule_and_the_remedy(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(RemovalError, match=message):
        remove_batch_effect(np.zeros((3, 2)), **arguments)


def test_x_must_be_a_matrix_of_numbers() -> None:
    with pytest.raises(RemovalError, match=r"x: shape \(3,\), type float64; expected a matrix"):
        remove_batch_effect(np.zeros(3), ["A", "B", "B"])
    with pytest.raises(RemovalError, match=r"x: shape \(1, 1\), type <U1"):
        remove_batch_effect(np.array([["a"]]), ["A"])
