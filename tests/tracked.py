"""What tests of trackers share: a tiny run, and what Neptune's client wrote of it."""

import json
from pathlib import Path

TINY = [
    "dataset.n_samples=60",
    "dataset.n_genes=12",
    "trainer.max_epochs=2",
    "trainer.threads=1",
    "split.folds=2",
]
FITS = ["fold0_fraction1.0", "fold1_fraction1.0"]


def operations(run: Path) -> dict[str, list[dict]]:
    """What the real client wrote, by the name of the Neptune run."""
    found = {}
    for file in run.glob(".neptune/offline/run__*/data-1.log"):
        lines = [json.loads(line)["obj"] for line in file.read_text().splitlines()]
        found[next(o["value"] for o in lines if o["path"] == ["sys", "name"])] = lines
    return found


def records_of(run: Path) -> dict[str, dict]:
    """The records that the real client keeps, by the name of the Neptune run."""
    records = {}
    for name, lines in operations(run).items():
        for operation in lines:
            if operation["type"] == "UploadFile" and operation["path"] == ["record"]:
                (file,) = run.glob(f".neptune/offline/*/upload_path/{operation['tmp_file_name']}")
                records[name] = json.loads(file.read_text(encoding="utf-8"))
    return records
