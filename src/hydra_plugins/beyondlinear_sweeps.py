"""What Hydra has to find in a package of this name: our sweeper and launchers. They are thin; the work is in
beyondlinear.sweeps, which is imported when a sweep begins, since Hydra imports this module at every start."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


def _run_id(overrides: Sequence[str] | None) -> str:
    from beyondlinear.sweeps.state import run_id

    return run_id(overrides or [])


# ${run_id:${hydra.overrides.task}} names a run's directory by what was asked for: the same run, the same directory
OmegaConf.register_new_resolver("run_id", _run_id, replace=True)


class GridSweeper(BasicSweeper):
    """The product of `params` and of the command line's lists, less what `rules` take out (beyondlinear.sweeps.rules).

    Writes the plan of the sweep before the first run, and says at the end what failed.
    """

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        rules: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(max_batch_size, params)
        self.rules = rules

    def runs(self, arguments: Sequence[str]) -> list[list[str]]:
        """The overrides of every run, in the order of the grid."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        from beyondlinear.sweeps.rules import checked, ruled

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        [product] = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        return ruled(product, [checked(rule) for rule in self.rules])

    def sweep(self, arguments: list[str]) -> Any:
        """Plan, then launch in batches; raises after the last run if any failed.

        :raises UserError: a rule that is none, a directory that cannot be written, runs that failed
        """
        from beyondlinear.errors import ConfigError, ResultsError
        from beyondlinear.sweeps.rules import covering
        from beyondlinear.sweeps.state import plan

        assert self.config is not None
        assert self.launcher is not None
        runs = self.runs(arguments)
        if not runs:
            raise ConfigError("this sweep has no runs: hydra.sweeper.rules drop every one of them")
        directory = Path(self.config.hydra.sweep.dir)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, directory / "multirun.yaml")
        except OSError as e:
            raise ResultsError(f"cannot write the sweep's directory {directory}: {e.strerror or e}") from e
        plan(directory, runs, sys.argv)
        self.validate_batch_is_legal(covering(runs)[:50])  # a wrong value shows before the first run
        returns: list[JobReturn] = []
        for batch in self.split_overrides_to_chunks(runs, self.max_batch_size):
            returns += self.launcher.launch(batch, initial_job_idx=len(returns))
        errors = [done._return_value for done in returns if done.status is JobStatus.FAILED]
        if len(returns) == 1 and errors:
            raise errors[0]
        if errors:
            raise ResultsError(
                f"{len(errors)} of {len(returns)} runs failed, the first with: {str(errors[0]).strip()}\n"
                f"`beyondlinear status {directory}` says which and why; the same command makes only what is missing"
            ) from errors[0]
        return [returns]


class _Elsewhere(Launcher):
    """A launcher that makes its runs in other processes; its keys are those of the function that does it."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Make the runs; a run that fails does not keep the others from being made."""
        from beyondlinear.sweeps.jobs import Jobs, returned

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = Jobs.of(self.hydra_context, self.task_function, self.config)
        runs = [(initial_job_idx + i, list(overrides)) for i, overrides in enumerate(job_overrides)]
        reasons = self.make(jobs, runs)
        return [returned(overrides, reasons[number]) for number, overrides in runs]

    def make(self, jobs: Any, runs: Sequence[tuple[int, list[str]]]) -> dict[int, str | None]:
        """Why each run failed, by its number; None: it did not."""
        raise NotImplementedError


class LocalLauncher(_Elsewhere):
    """Runs in several processes on this machine (beyondlinear.sweeps.local)."""

    def make(self, jobs: Any, runs: Sequence[tuple[int, list[str]]]) -> dict[int, str | None]:
        from beyondlinear.sweeps.local import make_locally

        return make_locally(jobs, runs, **self.keys)


class SlurmLauncher(_Elsewhere):
    """Runs in the tasks of a SLURM job array (beyondlinear.sweeps.slurm)."""

    def make(self, jobs: Any, runs: Sequence[tuple[int, list[str]]]) -> dict[int, str | None]:
        from beyondlinear.sweeps.slurm import make_on_slurm

        return make_on_slurm(jobs, runs, **self.keys)
