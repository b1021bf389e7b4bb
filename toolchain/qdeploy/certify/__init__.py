"""Search for bounds and the data that prove them; only `qdeploy.proof` decides what holds."""

from qdeploy.certify.decide import DecideRequest, Undecided, decide
from qdeploy.certify.executors import Crew
from qdeploy.certify.explain import PRUNING, SATURATION, explain
from qdeploy.certify.methods import known_methods
from qdeploy.certify.plan import DEFAULT_MEMORY, DEFAULT_WORK, CertifyRequest, Plan, make_plan
from qdeploy.certify.relaxed import Effort, Relaxed, attack_relaxed
from qdeploy.certify.search import Interrupted, run
from qdeploy.certify.similarity import place

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
    "decide",
    "explain",
    "known_methods",
    "make_plan",
    "place",
    "run",
]
