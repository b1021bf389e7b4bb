"""Search for bounds and the data that prove them; only `qdeploy.proof` decides what holds."""

from qdeploy.certifier.decide import DecideRequest, Undecided, decide
from qdeploy.certifier.executors import Crew
from qdeploy.certifier.explain import PRUNING, SATURATION, explain
from qdeploy.certifier.methods import known_methods
from qdeploy.certifier.plan import (
    DEFAULT_MEMORY,
    DEFAULT_WORK,
    CertifyRequest,
    Plan,
    check_size,
    make_plan,
)
from qdeploy.certifier.relaxed import Effort, Relaxed, attack_relaxed
from qdeploy.certifier.search import Interrupted, run
from qdeploy.certifier.similarity import place

__all__ = [
    "DEFAULT_MEMORY",
    "DEFAULT_WORK",
    "PRUNING",
    "SATURATION",
    "CertifyRequest",
    "Crew",
    "DecideRequest",
    "Effort",
    "Interrupted",
    "Plan",
    "Relaxed",
    "Undecided",
    "attack_relaxed",
    "check_size",
    "decide",
    "explain",
    "known_methods",
    "make_plan",
    "place",
    "run",
]
