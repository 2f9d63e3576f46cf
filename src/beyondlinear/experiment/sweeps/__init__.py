"""Many runs: the plan of a sweep and its exceptions, launchers for this machine and for SLURM, what
stands and what is missing, the paper's experiments one after another.

Hydra finds the launchers through `hydra_plugins/beyondlinear_sweeps.py`, which imports from here
when a sweep begins.
"""
