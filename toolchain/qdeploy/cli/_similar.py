"""What is proven about two networks, in words: for `compare`, and for `verify`."""

from fractions import Fraction

from qdeploy import proof
from qdeploy.ir import Box
from qdeploy.ir.printing import float_up, side_text, text_up

_MOST_SIDES = 4
_DIGITS = 6


def describe(proven: proof.ProvenSimilarity) -> list[tuple[str, str]]:
    """Return the inputs, the bound on every output, and Theorem 1."""
    return [
        ("inputs", inputs(proven)),
        ("bound", f"|f1(x1) - f2(x2)| <= {_up(Fraction(proven.linf))} in every output"),
        ("theorem", f"|f1(x1) - f2(x2)|^2 <= {right_side(proven)} in the 2-norm"),
    ]


def right_side(proven: proof.ProvenSimilarity) -> str:
    """Return the right side of Theorem 1, without the terms that are zero."""
    names = ("|x1|^2", "|x2|^2", "|x1 - x2|^2")
    terms = [
        f"{_up(Fraction(gamma))} {name}"
        for gamma, name in zip(proven.theorem.gammas, names, strict=True)
        if gamma
    ]
    return " + ".join([*terms, _up(Fraction(proven.theorem.constant))])


def inputs(proven: proof.ProvenSimilarity) -> str:
    """Return which pairs of inputs the statement is about."""
    question = proven.question
    first, second = region(question.first), region(question.second)
    match question.relation.value:
        case "equal":
            return f"x2 = x1 in {first}"
        case "quantised":
            near = f"{float_up(question.delta):g}"
            return f"x1 in {first}, x2 in {second}, |x2 - x1| <= {near} in every component"
        case _:
            return f"any x1 in {first} and x2 in {second}"


def region(box: Box) -> str:
    """Say the corners: a name is what somebody chose to write."""
    sides = [" .. ".join(side_text(*ends)) for ends in zip(box.lo, box.hi, strict=True)]
    if len(set(sides)) == 1:
        return f"{sides[0]} for all {len(sides)} inputs" if len(sides) > 1 else sides[0]
    more = f", … ({len(sides)} inputs)" if len(sides) > _MOST_SIDES else ""
    return f"[{', '.join(sides[:_MOST_SIDES])}{more}]"


def _up(value: Fraction) -> str:
    return text_up(value, _DIGITS)
