"""The fits of a run that are still to be made: whose they are, which train together, and their records into the store."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from beyondlinear import tables
from beyondlinear.classifier import NetworkModel
from beyondlinear.fit import Fit, FitUnderWay, Pretraining
from beyondlinear.ledger import Sheet
from beyondlinear.parts import Bench
from beyondlinear.progress import FitProgress, said
from beyondlinear.results import is_finished
from beyondlinear.splits import n_kept
from beyondlinear.sweeps.claims import Claims, wait_for
from beyondlinear.together import fit_together, most_together
from beyondlinear.trackers.tracking import Trackers

log = logging.getLogger(__name__)

# parts of fits that train together; more cost memory, and their epochs are long enough to fill a loop alone
BYTES = 2**26


@dataclass
class Pending:
    """Makes fits and completes `records`."""

    bench: Bench
    records: dict[str, dict[str, Any] | None]
    sheet: Sheet | None
    notices: list[str]
    described: dict[str, Any]
    trackers: Trackers
    progress: FitProgress

    def __post_init__(self) -> None:
        self.pretraining = Pretraining()

    def make(self, fits: list[Fit]) -> None:
        """Make these fits; what another run makes at this time is left to it, and waited for at the end."""
        claims = Claims(self.bench.store.root)
        waiting, left = fits, []  # type: list[Fit], list[Fit]
        while waiting:
            for group in self._groups(waiting):
                with ExitStack() as held:
                    ours = {fit.key: held.enter_context(claims.taken(fit.key)) for fit in group}
                    left += [fit for fit in group if not ours[fit.key]]
                    self._make([fit for fit in group if ours[fit.key] and not self._made_elsewhere(fit)])
            if left:
                who = claims.holder(left[0].key) or {}
                log.info(
                    "%d fits are being made by another run (process %s on %s): waiting for it",
                    *(len(left), who.get("pid"), who.get("host")),
                )
                wait_for(claims, [f.key for f in left])
            waiting, left = left, []

    def _made_elsewhere(self, fit: Fit) -> bool:
        """Whether another run has made it in the meantime."""
        elsewhere = self.bench.store.get(fit.key)
        if not is_finished(elsewhere):
            return False
        assert elsewhere is not None
        self.records[fit.key] = elsewhere
        self.progress.fit_done(f"{said(elsewhere)} (made by another run)")
        return True

    def _groups(self, fits: list[Fit]) -> Iterator[list[Fit]]:
        """The fits in their order, one by one or, where an epoch is a matter of milliseconds, as many as train together."""
        group: list[Fit] = []
        size = 0
        most = self._most()
        for fit in fits:
            more = self._bytes(fit)
            alone = most == 1 or self.bench.store.checkpoint_path(fit.key).exists()
            if group and (alone or len(group) == most or size + more > BYTES):
                yield group
                group, size = [], 0
            group, size = [*group, fit], size + more
            if alone:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _most(self) -> int:
        """How many fits may wait for each other: 1 where none is compiled, or something long comes before their training."""
        bench = self.bench
        if bench.tuning.method != "none" or bench.splitter.pretrain_share is not None:
            return 1
        if not isinstance(bench.model, NetworkModel):
            return 1
        return most_together(bench.model, bench.training, *bench.width)

    def _bytes(self, fit: Fit) -> int:
        n_rows = n_kept(len(fit.fold.train), fit.fraction) + len(fit.fold.validation)
        return 4 * n_rows * self.bench.width[0]

    def _make(self, fits: list[Fit]) -> None:
        ready = {}
        if len(fits) > 1:
            ready = {fit.key: self._begun(fit) for fit in fits}
            self._train_together([f for f in ready.values() if f.goes_on])
        for fit in fits:
            logger = self.trackers.begin(fit.name)
            each = ready.pop(fit.key) if ready else self._begun(fit)
            if each.outcome is None:
                each.train(self.progress, logger)
            each.judge()
            self._put(each)

    def _begun(self, fit: Fit) -> FitUnderWay:
        config = self.bench.config
        record: dict[str, Any] = {
            "key": fit.key,
            "names": {group: config[group]["name"] for group in tables.GROUPS},
            "seed": self.bench.cfg.seed,
            "fold": fit.fold.number,
            "held_out": fit.fold.held_out,
            "fraction": fit.fraction,
            "pretrained": fit.pretrained,
            "data": self.described,
            "config": config,
        }
        assert self.sheet is not None
        under_way = FitUnderWay(self.bench, fit, record, self.sheet)
        under_way.prepare(self.pretraining, self.progress)
        return under_way

    def _train_together(self, fits: list[FitUnderWay]) -> None:
        started = time.monotonic()
        try:
            outcomes = fit_together([(f.model, f.data) for f in fits if f.data is not None], self.bench.training)
        except Exception:  # whose fault it was shows when each trains alone
            log.debug("training together failed", exc_info=True)
            return
        seconds = (time.monotonic() - started) / max(len(fits), 1)
        for fit, outcome in zip(fits, outcomes, strict=True):
            fit.take(outcome, seconds)

    def _put(self, made: FitUnderWay) -> None:
        """The record into the store."""
        bench, record, fit = self.bench, made.record, made.fit
        record["warnings"] = [*self.notices, *record.get("warnings", [])]
        bench.store.put(record, made.arrays)
        bench.store.checkpoint_path(fit.key).unlink(missing_ok=True)
        # its trials are in the record now; a fit that is not pretrained leaves them to its twin
        if record["status"] == "done" and fit.pretrained is not False and not bench.cfg.protocol.tuning_once:
            bench.store.study_path(record["tuning"].get("study", fit.key)).unlink(missing_ok=True)
        self.trackers.end_fit(record)
        self.records[fit.key] = record
        self.progress.fit_done(said(record))
