"""Simulations of which the best possible accuracy is known, and a stand-in for public data."""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.data.simulated.gaussian import simulated_linear as simulated_linear
    from beyondlinear.data.simulated.gaussian import simulated_mixed as simulated_mixed
    from beyondlinear.data.simulated.gaussian import simulated_noise as simulated_noise
    from beyondlinear.data.simulated.tilted import simulated_bernoulli as simulated_bernoulli
    from beyondlinear.data.simulated.tilted import simulated_clusters as simulated_clusters
    from beyondlinear.data.simulated.tilted import simulated_counts as simulated_counts
    from beyondlinear.data.simulated.tilted import (
        simulated_zero_inflated as simulated_zero_inflated,
    )

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "simulated_bernoulli": "tilted",
        "simulated_clusters": "tilted",
        "simulated_counts": "tilted",
        "simulated_linear": "gaussian",
        "simulated_mixed": "gaussian",
        "simulated_noise": "gaussian",
        "simulated_zero_inflated": "tilted",
    },
)
