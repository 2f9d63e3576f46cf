"""Balanced accuracy against training samples: a loess with its band, or means where there are too few sizes for one."""

import numpy as np
import pandas as pd

FEWEST_SIZES = 4  # different fractions below which a loess would only join the dots
SPAN = 0.75


def curve(fits: pd.DataFrame, points: int = 60) -> pd.DataFrame:
    """n_train, value, low, high of one model's fits in one panel.

    A loess with its pointwise 95 % band, from FEWEST_SIZES fractions on (Cleveland, Grosse & Shyu 1992, as the paper plots);
    below that the mean of each fraction, without a band. The band takes fits as independent, which folds are not.
    """
    means = fits.groupby("fraction").agg(n_train=("n_train", "mean"), value=("balanced_accuracy", "mean")).reset_index()
    if len(means) >= FEWEST_SIZES:
        smooth = _loess(fits.n_train.to_numpy(float), fits.balanced_accuracy.to_numpy(float), points)
        if smooth is not None:
            return smooth
    return means[["n_train", "value"]].assign(low=np.nan, high=np.nan)


def _loess(x: np.ndarray, y: np.ndarray, points: int) -> pd.DataFrame | None:
    from skmisc.loess import loess

    at = np.linspace(x.min(), x.max(), points)
    if y.std() < 1e-9:  # no spread, no residual to estimate
        return pd.DataFrame({"n_train": at, "value": y.mean(), "low": y.mean(), "high": y.mean()})
    for surface in ("interpolate", "direct"):  # the interpolating one, R's default, fails on very uneven sizes
        try:
            model = loess(x, y, span=SPAN, degree=2 if len(np.unique(x)) > 8 else 1, surface=surface)
            model.fit()
            found = model.predict(at, stderror=True)
            band = found.confidence(0.05)
        except ValueError:
            continue
        value, low, high = (np.asarray(v) for v in (found.values, band.lower, band.upper))
        if np.isfinite(value).all() and np.isfinite(low).all():
            return pd.DataFrame(
                {"n_train": at, "value": value.clip(0, 1), "low": low.clip(0, 1), "high": high.clip(0, 1)}
            )
    return None
