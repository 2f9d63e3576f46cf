"""Flynn's table of sex labels: what is kept, what is refused."""

import logging

import pandas as pd
import pytest

from beyondlinear.data.recount3.sex_labels import read_sex_labels
from beyondlinear.runtime.errors import DataError

ROWS = [
    ("SRR1", "human", "rnaseq", "male", "male", "True", "5000000"),
    ("SRR2", "human", "rnaseq", "female", "male", "True", "90000"),
    ("SRR3", "human", "rnaseq", "unknown", "male", "True", "5000000"),
    ("SRR4", "human", "rnaseq", "mixed", "male", "True", "5000000"),
    ("GSM5", "human", "microarray", "male", "male", "True", ""),
    ("SRR6", "mouse", "rnaseq", "male", "male", "True", "5000000"),
    ("SRR7", "human", "rnaseq", "female", "", "False", "5000000"),
    ("SRR8", "human", "rnaseq", "female", "female", "True", "5000000"),
    ("SRR9", "human", "rnaseq", "female", "", "True", "5000000"),
    ("SRR9", "human", "rnaseq", "male", "", "True", "5000000"),
]
COLUMNS = [
    "sample_acc",
    "organism",
    "data_type",
    "metadata_sex",
    "expr_sex",
    "present",
    "num_reads",
]


@pytest.fixture
def flynn(tmp_path):
    path = tmp_path / "combined_human_mouse_meta_v2.csv"
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(path, index=False)
    return path


def test_the_papers_rule(flynn, caplog):
    caplog.set_level(logging.INFO)
    found = read_sex_labels(str(flynn), "paper")
    assert found.to_dict() == {"SRR1": "male", "SRR2": "female", "SRR7": "female", "SRR8": "female"}
    assert "4 of 10 rows: 3 female, 1 male; 1 runs reported as both are left out" in caplog.text
    # of SRR1, SRR2 and SRR8, the second is expressed as the other sex
    assert "differ in 33.3 % of 3 runs" in caplog.text


def test_flynns_own_rule_asks_for_presence_and_reads(flynn):
    assert read_sex_labels(str(flynn), "flynn").to_dict() == {"SRR1": "male", "SRR8": "female"}


def test_mouse(flynn):
    assert read_sex_labels(str(flynn), "paper", "mouse").to_dict() == {"SRR6": "male"}


def test_bad_tables(flynn, tmp_path):
    with pytest.raises(DataError, match=r"there is no file 'nowhere.csv'.*figshare.*sample_acc"):
        read_sex_labels("nowhere.csv", "paper")
    other = tmp_path / "other.csv"
    pd.DataFrame(ROWS, columns=COLUMNS).drop(columns="metadata_sex").to_csv(other, index=False)
    with pytest.raises(DataError, match="has no column 'metadata_sex'"):
        read_sex_labels(str(other), "paper")
    pd.DataFrame(ROWS[2:4], columns=COLUMNS).to_csv(other, index=False)
    with pytest.raises(
        DataError, match="of 2 rows of .* 2 are human rnaseq, and none of these is male or female"
    ):
        read_sex_labels(str(other), "paper")


def test_real_runs_and_their_reported_sex(shared, tmp_path):
    """A file in Flynn's format made of real runs and their reported sex in recount2 (free text,
    folded)."""
    table = pd.read_csv(
        shared / "data/recount2_labels/recount2_PredictedPhenotypes_v0.0.06.csv.gz", dtype=str
    )
    table = table[table["dataset"] == "sra"]
    words = {"m": "male", "male": "male", "f": "female", "female": "female"}
    sex = table["reported_sex"].str.strip().str.lower().map(words).fillna("unknown")
    flynn = pd.DataFrame(
        {
            "sample_acc": table["sample_id"],
            "organism": "human",
            "data_type": "rnaseq",
            "metadata_sex": sex,
        }
    )
    flynn.assign(expr_sex=table["predicted_sex"]).to_csv(tmp_path / "flynn.csv", index=False)
    found = read_sex_labels(str(tmp_path / "flynn.csv"), "paper")
    assert found.value_counts().to_dict() == {"female": 2182, "male": 1458}
