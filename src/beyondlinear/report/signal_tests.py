"""The two ways to look for signal that a linear model cannot use: labels that are linear by
construction, and the residual-prediction test."""

import numpy as np
import pandas as pd
from scipy.stats import t

from beyondlinear.evaluation.excess import excess
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.statistics import holm
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.tasks.controls import NO_CONTRAST

_EXCESS_COLUMNS = [
    "id",
    "panel",
    "model",
    "linear",
    "signal_removal",
    "direction",
    "fraction",
    "real",
    "control",
    "control_sd",
    "draws",
    "bayes",
    "agreement",
    "contrast",
    "excess",
    "low",
    "high",
    "p",
    "p_t",
    "p_holm",
]


def excesses(gathered: GatheredFits) -> pd.DataFrame:
    """What each model reaches beyond linear labels (`excess.excess`), by panel; p_t: one-sided, of
    one more draw by Student's t; p_holm: over the rows that could show non-linear signal, those of
    non-linear models after removal with contrast.
    """
    found = []
    for panel, fits in gathered.fits.groupby("panel", sort=True):
        try:
            found.append(excess(fits).assign(panel=panel))
        except ResultsError:  # no cell has both real and linear labels
            continue
    if not found:
        return pd.DataFrame()
    table = pd.concat(found, ignore_index=True)
    largest = table.groupby("panel").fraction.transform("max")
    table = table[table.fraction == largest].reset_index(drop=True)

    # standard deviation of one more draw about the mean of the draws
    sd_of_one_more = table.control_sd * np.sqrt(1 + 1 / table.draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        table["p_t"] = t.sf(table.excess / sd_of_one_more, table.draws - 1)
    table.loc[table.draws < 2, "p_t"] = np.nan

    table["contrast"] = table.agreement < NO_CONTRAST
    after_removal = table.signal_removal != "none"
    own_direction = table.direction != "random"
    could_show_signal = ~table.linear & after_removal & own_direction & table.contrast
    table["p_holm"] = np.nan
    table.loc[could_show_signal, "p_holm"] = holm(table.p_t[could_show_signal])
    table["id"] = [f"e{number}" for number in range(1, len(table) + 1)]
    return table[_EXCESS_COLUMNS]


def residual_tests(gathered: GatheredFits) -> pd.DataFrame:
    """Residual-prediction tests, one row a statistic."""
    panels = _panel_by_fingerprint(gathered)
    rows: list[dict[str, object]] = []
    for test in gathered.tests:
        names, verdict = test["names"], test["verdict"]
        without_fits = f"{names['dataset']}, {names['task']}"
        panel = panels.get(test["data"].get("fingerprint"), without_fits)
        # a test that found nothing left to explain computed no statistic
        for name, statistic in (verdict.get("statistics") or {"none": {}}).items():
            rows.append(
                {
                    "id": f"t{len(rows) + 1}",
                    "panel": panel,
                    "control": names.get("control"),
                    "seed": test.get("seed"),
                    "verdict": verdict["verdict"],
                    "linear_log_loss": verdict["linear_log_loss"],
                    "constant_log_loss": verdict["constant_log_loss"],
                    "draws": verdict["draws"],
                    "statistic": name,
                    "observed": statistic.get("observed", np.nan),
                    "null_mean": statistic.get("null_mean", np.nan),
                    "null_sd": statistic.get("null_sd", np.nan),
                    "p_value": statistic.get("p_value", np.nan),
                }
            )
    return pd.DataFrame(rows)


def _panel_by_fingerprint(gathered: GatheredFits) -> dict[str, str]:
    """The panel that fits on the same data are shown in; of several, the last."""
    panels = {}
    panel_by_key = dict(zip(gathered.fits.key, gathered.fits.panel, strict=True))
    for key, record in gathered.records.items():
        fingerprint = (record.get("data") or {}).get("fingerprint")
        if fingerprint is not None and key in panel_by_key:
            panels[fingerprint] = panel_by_key[key]
    return panels
