"""What Hydra has to find in a package of this name: our resolvers, sweeper and launchers.

They are thin. The work is in beyondlinear.experiment.sweeps, which is imported when a sweep begins,
since Hydra imports this module at every start.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig, OmegaConf

if TYPE_CHECKING:
    from beyondlinear.experiment.sweeps.jobs import Jobs, SweepRun


def _run_id(overrides: Sequence[str] | None) -> str:
    """${run_id:${hydra.overrides.task}} names a run's directory by what was asked for: the same
    run, the same directory."""
    from beyondlinear.records.run_state import run_id

    return run_id(overrides or [])


def _config_groups(sources: ListConfig) -> str:
    """${config_groups:${hydra.runtime.config_sources}} lists groups and their choices for --help,
    those of a user's own --config-dir too."""
    from beyondlinear.runtime.conf_dir import choices_of_groups

    folders = [Path(source.path) for source in sources if source.schema == "file"]
    groups = choices_of_groups(folders)
    return "".join(f"{group}: {', '.join(names)}\n" for group, names in groups.items())


OmegaConf.register_new_resolver("run_id", _run_id, replace=True)
OmegaConf.register_new_resolver("config_groups", _config_groups, replace=True)


class GridSweeper(BasicSweeper):
    """The product of `params` and of the command line's lists, less what `rules` take out
    (beyondlinear.experiment.sweeps.rules).

    Writes the plan of the sweep before the first run, and says at the end what failed.
    """

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        rules: Sequence[Mapping[str, object]] = (),
    ) -> None:
        super().__init__(max_batch_size, params)
        self.rules = rules

    def runs(self, arguments: Sequence[str]) -> list[list[str]]:
        """The overrides of every run, in the order of the grid."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        from beyondlinear.experiment.sweeps.rules import apply_rules, read_rule

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        [product] = self.split_arguments(overrides, None)
        return apply_rules(product, [read_rule(rule) for rule in self.rules])

    def sweep(self, arguments: list[str]) -> list[list[JobReturn]]:
        """Plan, then launch in batches; raises after the last run if any failed.

        :raises UserError: a rule that is none, a directory that cannot be written, runs that failed
        """
        from beyondlinear.experiment.sweeps.rules import covering
        from beyondlinear.records.run_state import plan
        from beyondlinear.runtime.errors import ConfigError

        assert self.config is not None
        assert self.launcher is not None
        runs = self.runs(arguments)
        if not runs:
            raise ConfigError("this sweep has no runs: hydra.sweeper.rules drop every one of them")
        directory = self._write_config()
        plan(directory, runs, sys.argv)
        # a wrong value shows before the first run
        self.validate_batch_is_legal(covering(runs)[:50])
        returns: list[JobReturn] = []
        for batch in self.split_overrides_to_chunks(runs, self.max_batch_size):
            returns += self.launcher.launch(batch, initial_job_idx=len(returns))
        _raise_failures(returns, directory)
        return [returns]

    def _write_config(self) -> Path:
        """Make the sweep's directory and write its config there."""
        from beyondlinear.runtime.errors import ResultsError

        assert self.config is not None
        directory = Path(self.config.hydra.sweep.dir)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, directory / "multirun.yaml")
        except OSError as e:
            raise ResultsError(
                f"cannot write the sweep's directory {directory}: {e.strerror or e}"
            ) from e
        return directory


def _raise_failures(returns: Sequence[JobReturn], directory: Path) -> None:
    """Raise what the runs of a sweep raised: the error of the only one, or how many failed."""
    from beyondlinear.runtime.errors import ResultsError

    errors = [done._return_value for done in returns if done.status is JobStatus.FAILED]
    if not errors:
        return
    if len(returns) == 1:
        raise errors[0]
    raise ResultsError(
        f"{len(errors)} of {len(returns)} runs failed, the first with: {str(errors[0]).strip()}\n"
        f"`beyondlinear status {directory}` says which and why; the same command makes only what is"
        " missing"
    ) from errors[0]


class _LauncherElsewhere(Launcher):
    """A launcher that makes its runs in other processes; its keys are those of the function that
    does it."""

    def __init__(self, **keys: object) -> None:
        self.keys = keys

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Make the runs; a run that fails does not keep the others from being made."""
        from beyondlinear.experiment.sweeps.jobs import Jobs, SweepRun, job_return

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = Jobs.of(self.hydra_context, self.task_function, self.config)
        runs = [
            SweepRun(number, list(overrides))
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        ]
        reasons = self.make(jobs, runs)
        return [job_return(run.overrides, reasons[run.number]) for run in runs]

    def make(self, jobs: "Jobs", runs: "Sequence[SweepRun]") -> dict[int, str | None]:
        """Why each run failed, by its number; None: it did not."""
        raise NotImplementedError


class LocalLauncher(_LauncherElsewhere):
    """Runs in several processes on this machine (beyondlinear.experiment.sweeps.local)."""

    def make(self, jobs: "Jobs", runs: "Sequence[SweepRun]") -> dict[int, str | None]:
        from beyondlinear.experiment.sweeps.local import make_locally

        return make_locally(jobs, runs, **self.keys)  # type: ignore[arg-type]


class SlurmLauncher(_LauncherElsewhere):
    """Runs in the tasks of a SLURM job array (beyondlinear.experiment.sweeps.slurm)."""

    def make(self, jobs: "Jobs", runs: "Sequence[SweepRun]") -> dict[int, str | None]:
        from beyondlinear.experiment.sweeps.slurm import make_on_slurm

        return make_on_slurm(jobs, runs, **self.keys)  # type: ignore[arg-type]
