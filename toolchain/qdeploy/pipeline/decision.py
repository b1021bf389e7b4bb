"""From what is proven, found and measured to the one exit code."""

from fractions import Fraction

from qdeploy.diagnostics import ExitCode
from qdeploy.ir import Verdict
from qdeploy.pipeline.advice import for_tolerance
from qdeploy.pipeline.options import Norm, Options, read_norm, read_tolerance
from qdeploy.report.values import Material, Statement


def decide(
    statement: Statement, verdict: Verdict | None, tolerance: Fraction | None, norm: Norm
) -> ExitCode:
    """Return YES, NO or INCONCLUSIVE.

    NO needs a fact: an exactly evaluated input beyond the tolerance, or a device that differs.
    """
    if verdict is not None and not verdict.passed:
        return ExitCode.NO
    # A 2-norm is never below the infinity norm, so the attack refutes both tolerances.
    if tolerance is not None and statement.found.linf > tolerance:
        return ExitCode.NO
    bound = statement.bound
    if bound is None:
        return ExitCode.INCONCLUSIVE
    proven = bound.linf if norm is Norm.INF else bound.l2
    if tolerance is not None and proven > tolerance:
        return ExitCode.INCONCLUSIVE
    return ExitCode.YES


def explain_tolerance(material: Material, options: Options) -> str:
    """Return in words what became of --tolerance; nothing where none was given."""
    norm = read_norm(options)
    answer = decide(material.statement, None, read_tolerance(options), norm)
    if options.tolerance is None:
        return ""
    words = {
        ExitCode.YES: "kept: the proven bound is within it",
        ExitCode.NO: "EXCEEDED by the deviation that was found",
    }
    said = words.get(answer, "INCONCLUSIVE: not proven, and no input found that exceeds it")
    help_ = for_tolerance(material, options)
    norm_said = " (2-norm)" if norm is Norm.TWO else ""
    return f"{options.tolerance}{norm_said} is {said}{'; ' if help_ else ''}{help_}"
