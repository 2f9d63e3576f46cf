"""Balanced accuracy against training samples: a loess with its band, or means where there are too
few sizes for one."""

import numpy as np
import pandas as pd

FEWEST_SIZES = 4  # different fractions below which a loess would only join the dots
SPAN = 0.75  # share of the fits that each point of the loess is made of
_FEWEST_SIZES_FOR_PARABOLAS = 9
_NO_SPREAD = 1e-9  # standard deviation of balanced accuracies that are all the same


def curve(fits: pd.DataFrame, points: int = 60) -> pd.DataFrame:
    """n_outer_train, value, low, high of one model's fits in one panel.

    A loess with its pointwise 95 % band, from FEWEST_SIZES fractions on (Cleveland, Grosse & Shyu
    1992, as the paper plots); below that the mean of each fraction, without a band. The band takes
    fits as independent, which folds are not.

    :param fits: with fraction, n_outer_train and balanced_accuracy
    :param points: that the loess is drawn through
    """
    by_size = fits.groupby("fraction")
    means = by_size.agg(
        n_outer_train=("n_outer_train", "mean"), value=("balanced_accuracy", "mean")
    )
    if len(means) >= FEWEST_SIZES:
        smooth = _loess(
            fits.n_outer_train.to_numpy(float), fits.balanced_accuracy.to_numpy(float), points
        )
        if smooth is not None:
            return smooth
    return means.reset_index(drop=True).assign(low=np.nan, high=np.nan)


def _loess(x: np.ndarray, y: np.ndarray, points: int) -> pd.DataFrame | None:
    """None where there is no finite one."""
    from skmisc.loess import loess

    at = np.linspace(x.min(), x.max(), points)
    if y.std() < _NO_SPREAD:  # no residual to estimate
        mean = y.mean()
        return pd.DataFrame({"n_outer_train": at, "value": mean, "low": mean, "high": mean})
    degree = 2 if len(np.unique(x)) >= _FEWEST_SIZES_FOR_PARABOLAS else 1
    # the interpolating surface, R's default, fails on very uneven sizes
    for surface in ("interpolate", "direct"):
        try:
            model = loess(x, y, span=SPAN, degree=degree, surface=surface)
            model.fit()
            predicted = model.predict(at, stderror=True)
            band = predicted.confidence(0.05)
        except ValueError:
            continue
        value = np.asarray(predicted.values)
        low, high = np.asarray(band.lower), np.asarray(band.upper)
        if np.isfinite(value).all() and np.isfinite(low).all():
            return pd.DataFrame(
                {
                    "n_outer_train": at,
                    "value": value.clip(0, 1),
                    "low": low.clip(0, 1),
                    "high": high.clip(0, 1),
                }
            )
    return None
