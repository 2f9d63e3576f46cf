"""Is there signal in an expression data set that a linear model cannot use, and does a neural net
profit from it?"""

import os

__version__ = "0.1.0"

# OpenMP threads that spin while they wait starve each other once two runs share their cores
# (measured on 2 cores: 18.6 s instead of 1.5 s for two runs at a time). It is read when torch is
# loaded, so it is set before anything else.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
