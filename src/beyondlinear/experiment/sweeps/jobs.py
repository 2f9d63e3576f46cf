"""A run of a sweep, made in another process than the one that composed the sweep: what the
launchers share."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

# registers the schema that configs compose with, in the other process too
import beyondlinear.runtime.config  # noqa: F401
from beyondlinear.records.run_state import reason_of
from beyondlinear.runtime.errors import ResultsError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep: its number from 0 in the order of the grid, and its overrides."""

    number: int
    overrides: list[str]


@dataclass
class Jobs:
    """Hydra's state, as another process needs it. Pickled by cloudpickle: the task function lies in
    `__main__`."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    singletons: Mapping[type, object]

    @classmethod
    def of(
        cls, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> "Jobs":
        """To be called where Hydra is set up."""
        return cls(hydra_context, task_function, config, Singleton.get_state())

    def compose(self, run: SweepRun) -> DictConfig:
        """The config of a run, with Hydra's own part."""
        loader = self.hydra_context.config_loader
        config = loader.load_sweep_config(self.config, list(run.overrides))
        with open_dict(config):
            config.hydra.job.id = run.number
            config.hydra.job.num = run.number
        return config

    def make(self, run: SweepRun) -> str | None:
        """Make a run; the reason in one line if it failed. What is no Exception (an interrupt) is
        raised."""
        setup_globals()
        Singleton.set_state(self.singletons)
        try:
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=self.compose(run),
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            _ = done.return_value  # raises what the run raised
        except Exception as e:
            log.error("%s", e)
            return reason_of(e)
        return None


def names_of(runs: Sequence[SweepRun]) -> dict[int, str]:
    """What sets each run apart from the others of its sweep, in one line, by its number."""
    shared: set[str] = set()
    if len(runs) > 1:
        shared = set.intersection(*(set(run.overrides) for run in runs))
    names = {}
    for run in runs:
        own = [o for o in filter_overrides(run.overrides) if o not in shared]
        names[run.number] = " ".join(own) or "the run"
    return names


def job_return(overrides: Sequence[str], reason: str | None) -> JobReturn:
    """What Hydra's sweeper expects of a launcher.

    :param reason: why the run failed; None: it did not
    """
    result = JobReturn(overrides=list(overrides))
    if reason is None:
        result.status = JobStatus.COMPLETED
        result.return_value = None
    else:
        result.status = JobStatus.FAILED
        result.return_value = ResultsError(reason)
    return result


def sweep_directory(config: DictConfig) -> Path:
    """The sweep's directory, made if need be, whatever the launcher."""
    directory = Path(str(OmegaConf.select(config, "hydra.sweep.dir"))).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return directory
