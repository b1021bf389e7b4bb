"""Every value that passes between stages: frozen, and checked on construction."""

from qdeploy.ir.build import CompilerIdentity, Firmware, SourceTree
from qdeploy.ir.codec import decode_program, encode_program, program_digest
from qdeploy.ir.derived import Derived
from qdeploy.ir.network import FractionArray, ModelSource, Network, Node, Tensor, exact, listed
from qdeploy.ir.program import Accumulator, FixedArray, FixedNetwork, FixedNode, FixedTensor
from qdeploy.ir.region import Box
from qdeploy.ir.request import Activations, QuantizeRequest, Ranges
from qdeploy.ir.run import DeviceIdentity, Trace, Vectors, Verdict

__all__ = [
    "Accumulator",
    "Activations",
    "Box",
    "CompilerIdentity",
    "Derived",
    "DeviceIdentity",
    "Firmware",
    "FixedArray",
    "FixedNetwork",
    "FixedNode",
    "FixedTensor",
    "FractionArray",
    "ModelSource",
    "Network",
    "Node",
    "QuantizeRequest",
    "Ranges",
    "SourceTree",
    "Tensor",
    "Trace",
    "Vectors",
    "Verdict",
    "decode_program",
    "encode_program",
    "exact",
    "listed",
    "program_digest",
]
