"""Reported sex of public samples, as Flynn, Chang & Altman 2021 (10.1186/s12859-021-04070-2)
collected it."""

import logging
from pathlib import Path
from typing import Literal

import pandas as pd

from beyondlinear.data.metadata import read_metadata
from beyondlinear.runtime.errors import DataError

log = logging.getLogger(__name__)

COLUMNS = ("sample_acc", "organism", "data_type", "metadata_sex")
_QUALITY = ("present", "num_reads")
FEWEST_READS = 100_000


def read_sex_labels(
    path: str | None, rule: Literal["paper", "flynn"], organism: str = "human"
) -> pd.Series:
    """male or female by run id.

    :param path: combined_human_mouse_meta_v2.csv, or a table with the same columns
    :param rule: "paper": RNA-seq of the organism with male or female reported (Heil et al. 2023);
        "flynn": also Flynn's own filter, present and more than 100,000 reads
    :raises DataError: no such file, a column that is lacking, or no label left
    """
    if path is None or not Path(path).expanduser().is_file():
        named = f"there is no file '{path}'" if path else "no file is given"
        raise DataError(
            f"dataset.sex_labels: {named}. task=sex needs the labels of Flynn, Chang & Altman 2021"
            " (10.1186/s12859-021-04070-2): combined_human_mouse_meta_v2.csv, published on"
            " figshare (https://figshare.com/s/985621c1705043421962), to be downloaded by hand. It"
            " is a CSV with the columns sample_acc (run ids such as SRR387777), organism,"
            " data_type, metadata_sex, and for sex_filter=flynn present and num_reads"
        )
    _, text = read_metadata(path, "dataset.sex_labels")
    needed = COLUMNS + (_QUALITY if rule == "flynn" else ())
    lacking = [c for c in needed if c not in text]
    if lacking:
        raise DataError(
            f"dataset.sex_labels: '{path}' has no column '{lacking[0]}'; its columns are "
            f"{', '.join(text.columns[:12])}. Expected: "
            f"{', '.join(needed)}"
        )
    of_kind = text["organism"].str.lower().eq(organism) & text["data_type"].str.lower().eq("rnaseq")
    sex = text["metadata_sex"].str.lower()
    clear = sex.isin(["male", "female"])
    kept = of_kind & clear
    if rule == "flynn":
        reads = pd.to_numeric(text["num_reads"], errors="coerce")
        kept &= text["present"].str.lower().isin(["true", "t", "1", "1.0", "yes"]) & (
            reads > FEWEST_READS
        )
    if not kept.any():
        raise DataError(
            f"dataset.sex_labels: of {len(text):,} rows of '{path}' {of_kind.sum():,} are"
            f" {organism} rnaseq, and none of these is male or female in metadata_sex"
            + (
                " and passes present and num_reads; try dataset.sex_filter=paper"
                if rule == "flynn"
                else ""
            )
        )
    found = sex[kept].set_axis(text["sample_acc"][kept])
    both = found.groupby(level=0).nunique()
    found = found[~found.index.duplicated()].drop(both.index[both > 1])
    log.info(
        "sex labels: %s of %s rows: %s female, %s male%s",
        *(
            f"{len(found):,}",
            f"{len(text):,}",
            f"{(found == 'female').sum():,}",
            f"{(found == 'male').sum():,}",
        ),
        (
            f"; {int((both > 1).sum()):,} runs reported as both are left out"
            if (both > 1).any()
            else ""
        ),
    )
    if "expr_sex" in text:
        expressed = text["expr_sex"].str.lower()
        known = kept & expressed.isin(["male", "female"])
        if known.any():
            log.info(
                "sex labels: reported and expressed sex differ in %.1f %% of %s runs, a bound on"
                " what any model can reach",
                *(100 * float((expressed != sex)[known].mean()), f"{known.sum():,}"),
            )
    return found.rename("sex").rename_axis("run")
