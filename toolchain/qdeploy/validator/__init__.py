"""Does the device do what the program says, and is that as close to the network as was proven?"""

from qdeploy.validator.comparison import Bound, run
from qdeploy.validator.vectors import choose_vectors, read_vectors, usual_count

__all__ = ["Bound", "choose_vectors", "read_vectors", "run", "usual_count"]
