"""A device that runs the program: an emulator, a board on a serial port, or this computer."""

from qdeploy.deploy._members import EmulatorStatus, status
from qdeploy.deploy._protocol import Timing
from qdeploy.deploy._run import greet, identify, run

__all__ = ["EmulatorStatus", "Timing", "greet", "identify", "run", "status"]
