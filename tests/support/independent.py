"""A second reading of a certificate, by other code: JSON, Fractions and exact elimination.

Nothing here comes from `qdeploy.proof` or `qdeploy.ops`. Networks and programs are chains of dense
layers and ReLUs; a network arrives as its parameters, everything else as the certificate's text.
"""

import base64
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
from qdeploy.ir import Network

Vector = list[Fraction]
Json = dict[str, Any]


# --- the file --------------------------------------------------------------------------------


def predicate(text: bytes) -> Json:
    return json.loads(text)["predicate"]


def part(text: bytes, method: str, region: int = 0) -> Json:
    return next(p for p in predicate(text)["regions"][region]["parts"] if p["method"] == method)


def integers(packed: str) -> list[int]:
    """Read a packed list (docs/SPEC.md) as text of binary digits."""
    found, bits = [], ""
    for byte in base64.b64decode(packed):
        digits = f"{byte:08b}"
        bits = digits[1:] + bits
        if digits[0] == "0":
            number = int(bits, 2)
            found.append(number // 2 if number % 2 == 0 else -(number + 1) // 2)
            bits = ""
    assert not bits
    return found


@dataclass
class Dual:
    """A dual's numbers, in units: t, tau and multipliers 2^-40, the factor 2^-48."""

    t: int
    tau: int
    products: dict[tuple[int, int], int]
    complements: dict[int, int]
    factor: list[list[int]]

    @staticmethod
    def of(data: Json) -> "Dual":
        products, complements = integers(data["products"]), integers(data["complements"])
        i = j = k = 0
        pairs: dict[tuple[int, int], int] = {}
        for at in range(0, len(products), 3):
            i, j = i + products[at], j + products[at + 1]
            pairs[i, j] = products[at + 2]
        facts: dict[int, int] = {}
        for at in range(0, len(complements), 2):
            k += complements[at]
            facts[k] = complements[at + 1]
        factor, rest = [], integers(data["factor"])
        while rest:
            size = len(factor) + 1
            factor.append(rest[:size])
            rest = rest[size:]
        return Dual(data["t"], data["tau"], pairs, facts, factor)


# --- matrices --------------------------------------------------------------------------------


def slack(cone: Any, objective: Any, dual: Dual) -> flint.fmpz_mat:
    """2 (M + tau I), from the cone's forms, in units of the grid squared and 2^-40."""
    forms = flint.fmpz_mat(cone.forms.tolist())
    count, size = forms.nrows(), forms.ncols()
    weights = flint.fmpz_mat(count, count)
    for (i, j), multiplier in dual.products.items():
        weights[i, j] += multiplier
        weights[j, i] += multiplier
    found = forms.transpose() * weights * forms
    for k, multiplier in dual.complements.items():
        fact = cone.complements[k]
        phi, psi = (flint.fmpz_mat([side.tolist()]) for side in (fact.phi, fact.psi))
        outer = phi.transpose() * psi
        found += (outer + outer.transpose()) * multiplier
        found[0, 0] += 2 * fact.slack * multiplier
    found = -found - flint.fmpz_mat(objective.tolist()) * (1 << 41)
    for i in range(size):
        found[i, i] += dual.tau << (2 * cone.grid + 1)
    found[0, 0] += dual.t << (2 * cone.grid + 1)
    return found


def is_semidefinite(matrix: flint.fmpz_mat) -> bool:
    """Decide exactly whether a symmetric matrix has no negative eigenvalue.

    Fraction-free elimination from the corner: a negative pivot ends it, and so does a pivot of
    zero whose row is not zero.
    """
    rows = [[int(v) for v in row] for row in matrix.tolist()]
    assert all(rows[i][j] == rows[j][i] for i in range(len(rows)) for j in range(i))
    before = 1
    while rows:
        (pivot, *top), *rest = rows
        if pivot < 0 or (pivot == 0 and any(top)):
            return False
        if pivot == 0:
            rows = [row[1:] for row in rest]
            continue
        rows = [
            [
                (pivot * value - row[0] * above) // before
                for value, above in zip(row[1:], top, strict=True)
            ]
            for row in rest
        ]
        before = pivot
    return True


def has_no_negative_root(matrix: flint.fmpz_mat) -> bool:
    """Decide the same by the characteristic polynomial: all its roots are real.

    None is negative iff its coefficients alternate in sign (Descartes).
    """
    coefficients = [int(c) for c in matrix.charpoly().coeffs()]
    return all(c * (-1) ** (len(coefficients) - 1 - k) >= 0 for k, c in enumerate(coefficients))


# --- both functions --------------------------------------------------------------------------


@dataclass
class Layer:
    """y = weight x + bias, then max(y, 0) or nothing."""

    weight: list[Vector]
    bias: Vector
    relu: bool

    def sums(self, x: Sequence[Fraction]) -> Vector:
        rows = zip(self.weight, self.bias, strict=True)
        return [sum((w * v for w, v in zip(row, x, strict=True)), c) for row, c in rows]


def network_layers(network: Network) -> list[Layer]:
    layers: list[Layer] = []
    for node in network.nodes:
        if node.op == "dense":
            weight, bias = node.parameters["weight"].tolist(), node.parameters["bias"].tolist()
            layers.append(Layer(weight, bias, relu=False))
        else:
            assert node.op == "relu"
            layers[-1].relu = True
    return layers


@dataclass
class Code:
    """A format and its rounding."""

    fb: int
    low: int
    high: int
    rounding: str

    @property
    def step(self) -> Fraction:
        return Fraction(2) ** -self.fb

    def encode(self, value: Fraction) -> int:
        scaled = value / self.step
        whole = {
            "nearest": math.floor(scaled + Fraction(1, 2)),
            "floor": math.floor(scaled),
            "trunc": math.trunc(scaled),
        }[self.rounding]
        return min(max(whole, self.low), self.high)


@dataclass
class Device:
    """The program: the format of its input; per layer the real weights and the output's format."""

    input: Code
    layers: list[tuple[Layer, Code]]

    @staticmethod
    def of(program: Json) -> "Device":
        formats = {t["id"]: (*t["format"], t["rounding"]) for t in program["tensors"]}

        def code(name: str, *ends: int) -> Code:
            ib, fb, rounding = formats[name]
            half = 1 << (ib + fb - 1)
            return Code(fb, *(ends or (-half, half - 1)), rounding)

        layers = []
        for node in program["nodes"]:
            assert node["op"] == "dense"
            weight, bias = (_array(node["arrays"][k]) for k in ("weight", "bias"))
            width = node["arrays"]["weight"]["shape"][1]
            rows = [weight[at : at + width] for at in range(0, len(weight), width)]
            ends = node["integers"]["clamp_lo"], node["integers"]["clamp_hi"]
            layers.append((Layer(rows, bias, relu=False), code(node["output"], *ends)))
        return Device(code(program["inputs"][0]), layers)


def _array(data: Json) -> Vector:
    (ib, fb), raw = data["format"], base64.b64decode(data["codes"])
    size = next(s for s in (1, 2, 4, 8) if ib + fb <= 8 * s)
    return [
        int.from_bytes(raw[at : at + size], "little", signed=True) * Fraction(2) ** -fb
        for at in range(0, len(raw), size)
    ]


@dataclass
class Step:
    """What happens in one layer at one input: sums y and z, then a and b."""

    y: Vector
    z: Vector
    a: Vector
    b: Vector
    relu: bool


def run(layers: list[Layer], device: Device, x: Vector) -> tuple[Vector, list[Step]]:
    """Return the input as the device has it, and every layer of both functions, exactly."""
    first = [device.input.encode(v) * device.input.step for v in x]
    a, b, steps = x, first, []
    for real, (program, code) in zip(layers, device.layers, strict=True):
        y, z = real.sums(a), program.sums(b)
        a = [max(v, Fraction(0)) for v in y] if real.relu else y
        b = [code.encode(v) * code.step for v in z]
        steps.append(Step(y, z, a, b, real.relu))
    return first, steps


# --- one input: the network as a list of straight pieces -------------------------------------

Straight = tuple[Fraction, Fraction]
"""slope x + offset."""
Piece = tuple[Fraction, Fraction, list[Straight]]


def pieces(layers: list[Layer], low: Fraction, high: Fraction) -> list[Piece]:
    """Cut [low, high] where a ReLU bends, and return every output as a line on every piece."""
    found: list[Piece] = [(low, high, [(Fraction(1), Fraction(0))])]
    for layer in layers:
        found = [
            (
                lo,
                hi,
                [_combined(row, c, lines) for row, c in zip(layer.weight, layer.bias, strict=True)],
            )
            for lo, hi, lines in found
        ]
        if layer.relu:
            found = [bent for piece in found for bent in _bent(piece)]
    return found


def _combined(row: Vector, constant: Fraction, lines: list[Straight]) -> Straight:
    slope = sum((w * p for w, (p, _) in zip(row, lines, strict=True)), Fraction(0))
    return slope, sum((w * q for w, (_, q) in zip(row, lines, strict=True)), constant)


def _bent(piece: Piece) -> Iterator[Piece]:
    low, high, lines = piece
    zeros = {-q / p for p, q in lines if p}
    cuts = [low, *sorted(z for z in zeros if low < z < high), high]
    for lo, hi in itertools.pairwise(cuts):
        middle = (lo + hi) / 2
        yield lo, hi, [(p, q) if p * middle + q > 0 else (Fraction(0),) * 2 for p, q in lines]


def worst(layers: list[Layer], device: Device, low: Fraction, high: Fraction) -> Vector:
    """Return sup |device - network| per output over [low, high], exactly.

    The device is constant between ends of input codes; each end belongs to one of the codes beside
    it, and the supremum takes both.
    """
    unit = Fraction(1, 2) if device.input.rounding == "nearest" else Fraction(1)
    result = [Fraction(0)] * len(layers[-1].bias)
    for lo, hi, lines in pieces(layers, low, high):
        scale = device.input.step * unit
        inside = range(math.floor(lo / scale) + 1, math.ceil(hi / scale))
        cuts = [lo, *(k * scale for k in inside), hi]
        for start, end in itertools.pairwise(cuts):
            # Constant in between; at the ends the input itself is one as well.
            for x in (start, (start + end) / 2, end):
                b = run(layers, device, [x])[1][-1].b
                for k, (p, q) in enumerate(lines):
                    ends = (start, end) if start < x < end else (x,)
                    result[k] = max(result[k], *(abs(b[k] - p * at - q) for at in ends))
    return result


def leaves(tree: bytes, low: Vector, high: Vector) -> list[tuple[Vector, Vector, int]]:
    """Return the boxes of a tree's leaves and their kinds, level by level."""
    level, found, at = [(low, high)], [], 0
    while level:
        following = []
        for (lo, hi), kind in zip(level, tree[at : at + len(level)], strict=True):
            if kind > 250:
                found.append((lo, hi, kind))
                continue
            middle = (lo[kind] + hi[kind]) / 2
            following.append((lo, [middle if k == kind else v for k, v in enumerate(hi)]))
            following.append(([middle if k == kind else v for k, v in enumerate(lo)], hi))
        at += len(level)
        level = following
    assert at == len(tree)
    return found
