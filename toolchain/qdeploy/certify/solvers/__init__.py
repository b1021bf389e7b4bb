"""certify/solvers."""
