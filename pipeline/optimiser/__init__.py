"""L-BFGS and Adam over any objective, resumable after every iteration."""

from pipeline.optimiser.adam import Adam, AdamState
from pipeline.optimiser.descent import Ending
from pipeline.optimiser.lbfgs import Lbfgs, LbfgsState
from pipeline.optimiser.minimisation import Result, Settings, State, Step, minimise

__all__ = [
    "Adam",
    "AdamState",
    "Ending",
    "Lbfgs",
    "LbfgsState",
    "Result",
    "Settings",
    "State",
    "Step",
    "minimise",
]
