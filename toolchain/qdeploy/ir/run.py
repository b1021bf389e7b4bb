"""What is sent to a device, what came back, and what that says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def _frozen(array: NDArray[np.int64]) -> NDArray[np.int64]:
    copy = np.array(array, dtype=np.int64)
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, slots=True)
class Vectors:
    """Real inputs [n, n_in], their codes, and the codes the Python model expects [n, n_out]."""

    x: NDArray[np.float64]
    codes: NDArray[np.int64]
    expected: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", _frozen(self.codes))
        object.__setattr__(self, "expected", _frozen(self.expected))


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What a device says of itself."""

    program_digest: str
    abi: int
    core: str
    clock_hz: int
    compiler: str
    n_in: int
    n_out: int
    counter: str
    """"cycles", "instructions" or "none"."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Raw outputs [n, n_out] a device gave for the vectors, over which link, at what cost."""

    link: str
    identity: DeviceIdentity
    outputs: NDArray[np.int64]
    cycles: int | None
    """One inference in core cycles, where the core has a counter."""
    instructions: int | None
    """One inference in instructions, on emulated boards that count."""
    uncounted: str = ""
    """Why there is neither, in words; empty where there is one, or nothing that could count."""
    retries: int = 0
    """Frames that had to be sent again."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", _frozen(self.outputs))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison of a trace with the model and the proven bound."""

    link: str
    vectors: int
    bit_exact: bool
    max_deviation: float
    """Largest |device - network| over the vectors that lie in the certified regions."""
    within_bound: bool | None
    """None where no bound is proven."""
    instructions: int | None
    cycles: int | None
    uncounted: str = ""
    """Why there is neither, in words; empty where there is one, or nothing that could count."""
    first_difference: str = ""
    """Where device and model differ, in words; empty when bit exact."""

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the device."""
        return self.bit_exact and self.within_bound is not False
