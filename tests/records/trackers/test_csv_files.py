import csv

from beyondlinear.records.trackers.csv_files import CsvFiles
from beyondlinear.records.trackers.subject import LogSubject


def test_a_folder_a_fit_and_nothing_of_an_interrupted_attempt(tmp_path):
    tracker = CsvFiles(str(tmp_path / "csv"))
    subject = LogSubject("fold0_fraction1.0", tmp_path)
    folder = tmp_path / "csv" / "fold0_fraction1.0"
    tracker.logger(subject).log_metrics({"train_loss": 9.0}, 0)
    logger = tracker.logger(subject)
    logger.log_metrics({"train_loss": 0.5}, 0)
    logger.log_metrics({"train_loss": 0.25, "validation_loss": 0.75}, 1)
    logger.log_text("record", '{"key": "ß"}')
    logger.log_figure("figure", b"\x89PNG")
    logger.save()
    with open(folder / "metrics.csv", newline="") as f:
        rows = [(r["step"], r["train_loss"], r["validation_loss"]) for r in csv.DictReader(f)]
    assert rows == [("0", "0.5", ""), ("1", "0.25", "0.75")]
    assert (folder / "record.json").read_text(encoding="utf-8") == '{"key": "ß"}'
    assert (folder / "figure.png").read_bytes() == b"\x89PNG"
