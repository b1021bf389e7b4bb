"""Which C kernel of `firmware/` an operator calls, and with which integer types."""

from dataclasses import dataclass

from qdeploy.diagnostics import InputError, Where
from qdeploy.fixedpoint import MAX_BITS, QFormat


@dataclass(frozen=True, slots=True)
class Kernel:
    """One instance of a kernel: `op` with a width in bits for every container it names.

    `firmware/include/qd_<op>.h` declares it, `qd_<op>_kernel.h` is its body, which is compiled
    once per instance with the `parameters` defined.
    """

    op: str
    widths: tuple[tuple[str, int], ...]
    """(letter, bits), in the order of the kernel's name: weight, x in, y out, accumulator."""
    prefix: str = "qd"
    """What its name begins with: a library that has a name has kernels of its own."""

    @property
    def name(self) -> str:
        """The C function, for instance `qd_dense_w8_x8_y16_a32`."""
        return f"{self.prefix}_{self.op}_" + "_".join(
            f"{letter}{bits}" for letter, bits in self.widths
        )

    @property
    def header(self) -> str:
        """The file that states its contract."""
        return f"qd_{self.op}.h"

    @property
    def body(self) -> str:
        """The file that holds its algorithm."""
        return f"qd_{self.op}_kernel.h"

    @property
    def declaration(self) -> str:
        """The macro call that declares it."""
        return f"QD_{self.op.upper()}_KERNEL({', '.join(str(bits) for _, bits in self.widths)})"

    @property
    def parameters(self) -> tuple[tuple[str, int], ...]:
        """The macros its body expects."""
        return tuple((f"QD_{letter.upper()}_BITS", bits) for letter, bits in self.widths)


def container(fmt: QFormat, what: str) -> int:
    """Return the width of the C integer for codes of `fmt`.

    Raises:
        InputError: the device stores no tensor that wide.
    """
    if fmt.bits > MAX_BITS:
        raise InputError(
            f"{what} has {fmt.bits} bits; a device stores at most {MAX_BITS}",
            fix=f"choose a format IB.FB with IB + FB <= {MAX_BITS}",
        )
    return fmt.container_bits


def altered(node: str, what: str) -> InputError:
    """Return the error for a program whose numbers contradict each other."""
    return InputError(
        f"the integer program contradicts itself: {what}",
        where=Where("integer program", f"node {node!r}"),
        fix="quantise the model again; this program was altered after that",
    )


def ctype(bits: int) -> str:
    """Return the C type of a signed integer with `bits` bits."""
    return f"int{bits}_t"
