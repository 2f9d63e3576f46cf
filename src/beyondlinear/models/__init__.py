"""What is trained: every model takes a `FitData` and gives a `FitResult` (interface.py).

Networks are trained by Lightning (lightning_module.py, trainer.py) or by the compiled engine
(compiled/); engine.py chooses. linear/ solves linear models to a certified optimum,
sklearn_model.py wraps estimators, lightning_model.py a LightningModule of the user's own.
"""

from typing import TYPE_CHECKING

from beyondlinear.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from beyondlinear.models.interface import FitData as FitData
    from beyondlinear.models.interface import FitResult as FitResult
    from beyondlinear.models.interface import FitSeeds as FitSeeds
    from beyondlinear.models.interface import Model as Model
    from beyondlinear.models.interface import Part as Part
    from beyondlinear.models.interface import TrainerConfig as TrainerConfig
    from beyondlinear.models.linear.null_model import NullModel as NullModel
    from beyondlinear.models.linear.null_model import fit_null_model as fit_null_model
    from beyondlinear.models.linear.ridge_model import RidgeModel as RidgeModel
    from beyondlinear.models.network_model import NetworkModel as NetworkModel
    from beyondlinear.models.probabilities import log_loss as log_loss
    from beyondlinear.models.probabilities import platt_scaling as platt_scaling
    from beyondlinear.models.probabilities import softmax as softmax

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "FitData": "interface",
        "FitResult": "interface",
        "FitSeeds": "interface",
        "Model": "interface",
        "NetworkModel": "network_model",
        "NullModel": "linear.null_model",
        "Part": "interface",
        "RidgeModel": "linear.ridge_model",
        "TrainerConfig": "interface",
        "fit_null_model": "linear.null_model",
        "log_loss": "probabilities",
        "platt_scaling": "probabilities",
        "softmax": "probabilities",
    },
)
