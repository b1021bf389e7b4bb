"""From the trained network to a smaller one, and which of its rows remain.

What is proven later is proven against the network that came in, so nothing here has to be right.
"""

from qdeploy.reduce._protocol import Amount, PruneRequest, Reducer, Reduction
from qdeploy.reduce._run import known_reducers, run

__all__ = [
    "Amount",
    "PruneRequest",
    "Reducer",
    "Reduction",
    "known_reducers",
    "run",
]
