"""The report of a sweep, written when its last run has ended."""

import logging
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from beyondlinear.runtime.errors import UserError

log = logging.getLogger(__name__)


class ReportAtTheEnd(Callback):
    """Hydra calls it after a sweep of which no run failed; `beyondlinear report DIR` writes the
    same at any time."""

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        from beyondlinear.report.write import write_report

        directory = Path(config.hydra.sweep.dir)
        try:
            for verdict in write_report([str(directory)], directory / "report", said=log.info):
                for sentence in verdict.sentences:
                    log.info("%s", sentence.text)
        except UserError as e:
            log.warning("no report: %s", e)
