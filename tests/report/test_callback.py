"""The report at the end of a sweep never stops the sweep."""

import logging

from omegaconf import OmegaConf

from beyondlinear.report.callback import ReportAtTheEnd


def test_nothing_to_report_is_said_and_no_error(tmp_path, caplog):
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    with caplog.at_level(logging.WARNING):
        ReportAtTheEnd().on_multirun_end(config)
    assert "no report: nothing to report in" in caplog.text
