"""A run of a sweep, made in another process than the one that composed the sweep: what the launchers share."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

import beyondlinear.config  # noqa: F401  (another process needs the schema and the resolvers too)
from beyondlinear.errors import ResultsError
from beyondlinear.sweeps.state import reason_of

log = logging.getLogger(__name__)


@dataclass
class Jobs:
    """Hydra's state, as another process needs it. Pickled by cloudpickle: the task function lies in `__main__`."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    singletons: Any

    @classmethod
    def of(cls, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> "Jobs":
        """To be called where Hydra is set up."""
        return cls(hydra_context, task_function, config, Singleton.get_state())

    def compose(self, number: int, overrides: Sequence[str]) -> DictConfig:
        """The config of a run, with Hydra's own part."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def make(self, number: int, overrides: Sequence[str]) -> str | None:
        """Make a run; the reason in one line if it failed. What is no Exception (an interrupt) is raised."""
        setup_globals()
        Singleton.set_state(self.singletons)
        try:
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=self.compose(number, overrides),
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            _ = done.return_value  # raises what the run raised
        except Exception as e:
            log.error("%s", e)
            return reason_of(e)
        return None


def names_of(runs: Sequence[tuple[int, list[str]]]) -> dict[int, str]:
    """What sets each run apart from the others of its sweep, in one line, by its number."""
    same = set.intersection(*(set(overrides) for _, overrides in runs)) if len(runs) > 1 else set()
    return {
        number: " ".join(o for o in filter_overrides(overrides) if o not in same) or "the run"
        for number, overrides in runs
    }


def returned(overrides: Sequence[str], reason: str | None) -> JobReturn:
    """What Hydra's sweeper expects of a launcher."""
    result = JobReturn(overrides=list(overrides))
    result.status = JobStatus.COMPLETED if reason is None else JobStatus.FAILED
    result.return_value = None if reason is None else ResultsError(reason)
    return result


def sweep_directory(config: DictConfig) -> Path:
    """The sweep's directory, made if need be, whatever the launcher."""
    directory = Path(str(OmegaConf.select(config, "hydra.sweep.dir"))).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return directory
