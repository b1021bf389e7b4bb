"""From the trained network to the integer program: formats, codes, shifts, accumulator widths."""

from qdeploy.quantize.program import run

__all__ = ["run"]
