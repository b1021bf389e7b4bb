"""How much work a check may take: one account over everything that a certificate asks for.

An operation is one step of a vectorised calculation, about 4 nanoseconds on a PC of 2024 (measured
in benchmarks/). What a piece of work costs is estimated from its sizes before it is begun.
"""

from qdeploy.diagnostics import RefusedError, UsageError

SECONDS_PER_OPERATION = 4e-9
LEAST_WORK = 0.5
"""Predicted seconds that nobody waits for: what is looked at first may take as much, however little
work is asked for."""
DEFAULT_OPERATIONS = 1_000_000_000_000
"""About an hour."""


def check_operations(operations: int) -> None:
    """Refuse a limit that lets nothing be checked.

    Raises:
        UsageError: it is none.
    """
    if operations < 1:
        raise UsageError(
            f"--operations {operations} is no number of operations",
            fix=f"the default is {DEFAULT_OPERATIONS}, about an hour of one core",
        )


class Budget:
    """An account of operations; None: without a limit."""

    def __init__(self, operations: int | None = DEFAULT_OPERATIONS) -> None:
        self.operations = operations
        self.spent = 0

    def charge(self, operations: int, place: str) -> None:
        """Pay for work that is about to begin.

        Raises:
            RefusedError: it is beyond what the whole check may take; `place` says what asks for it.
        """
        self.spent += operations
        if self.operations is not None and self.spent > self.operations:
            raise RefusedError(
                f"{place}: checking this would take more than {self.operations:.3g} operations",
                fix="allow more with --operations, if the certificate is one to wait for",
            )
