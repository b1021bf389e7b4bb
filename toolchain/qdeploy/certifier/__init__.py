"""Search for bounds and the data that prove them; only `qdeploy.proof` decides what holds."""

from qdeploy.certifier.decide import DecideRequest, Undecided, decide
from qdeploy.certifier.executors import Crew
from qdeploy.certifier.explain import PRUNING, SATURATION, explain
from qdeploy.certifier.methods import known_methods
from qdeploy.certifier.relaxed import Relaxed, attack_relaxed
from qdeploy.certifier.search import DEFAULT_WORK, CertifyRequest, Interrupted, run
from qdeploy.certifier.similarity import place

__all__ = [
    "DEFAULT_WORK",
    "PRUNING",
    "SATURATION",
    "CertifyRequest",
    "Crew",
    "DecideRequest",
    "Interrupted",
    "Relaxed",
    "Undecided",
    "attack_relaxed",
    "decide",
    "explain",
    "known_methods",
    "place",
    "run",
]
