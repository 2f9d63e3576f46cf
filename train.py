"""Compose the config in conf/ and run it: `python train.py --help`."""

import hydra
from omegaconf import DictConfig

from beyondlinear.runtime.explain_errors import explain_errors


@explain_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    from beyondlinear.experiment.run import run  # torch loads only when a run needs it

    run(cfg)


if __name__ == "__main__":
    main()
