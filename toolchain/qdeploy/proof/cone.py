"""The semidefinite bound: nonnegative linear forms, their products, and the exact check.

Everything unknown is a vector chi = (1, chi_1, ..., chi_n) with |chi_i| <= 1: inputs, input
rounding, rounding slacks, and for every unstable neuron the network's a and the difference
delta = relu(z) - relu(y). Facts about the pair are linear forms that are never negative; products
of two of them are the constraints. If, with multipliers >= 0 and the matrices of the constraints,

    M = t E00 - sym(objective) - sum lambda_ij sym(f_i f_j^T) - sum kappa_k Q_k,  M + tau I >= 0,

then objective <= t + tau (n + 1) (S-procedure; docs/CERTIFICATES.md). A certificate names forms by
index and holds multipliers and a factor C of M + tau I; this module derives all the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Rounding
from qdeploy.proof.curves import Knots, Line, OnGrid, Pieces, fan
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
    down,
    integers,
    matmul,
    product_range,
    up,
    widest,
)
from qdeploy.proof.enclosure import LayerRanges, Ranges, Signal
from qdeploy.proof.pair import Layer, Pair

_MOST_TWO_SIDED = 4
"""Truncated inputs of either sign whose sides are told apart, at two variables each."""


@dataclass(frozen=True, slots=True)
class Forms:
    """Values rows @ chi + rho with rho anywhere in [lo, hi]; one row a value."""

    rows: Raw
    lo: Raw
    hi: Raw

    def __add__(self, other: "Forms") -> "Forms":
        return Forms(self.rows + other.rows, self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: "Forms") -> "Forms":
        return Forms(self.rows - other.rows, self.lo - other.hi, self.hi - other.lo)

    def pick(self, index: int) -> "Forms":
        """Return one value as Forms of one row."""
        chosen = slice(index, index + 1)
        return Forms(self.rows[chosen], self.lo[chosen], self.hi[chosen])

    def offset(self, value: int) -> "Forms":
        """Return the values plus a constant."""
        rows = self.rows.copy()
        rows[:, 0] = rows[:, 0] + value
        return Forms(rows, self.lo, self.hi)

    def scaled(self, factor: int, grid: int) -> "Forms":
        """Return the values times a factor given on the grid."""
        if factor == 1 << grid:
            return self
        if factor == 0:
            return Forms(self.rows * 0, self.lo * 0, self.hi * 0)
        if factor < 0:
            return Forms(-self.rows, -self.hi, -self.lo).scaled(-factor, grid)
        rows = down(self.rows * factor, grid)
        lost = self.rows.shape[1]
        return Forms(rows, down(self.lo * factor, grid) - lost, up(self.hi * factor, grid) + lost)


@dataclass(frozen=True, slots=True)
class Complement:
    """A fact (phi @ chi) * (psi @ chi) + slack >= 0 that is no product of nonnegative forms."""

    phi: Raw
    psi: Raw
    slack: int
    """On the grid 2**-2grid."""

    def scaled_up(self, grid: int) -> "Complement":
        """Return the same fact, exactly, with both sides of order 1 where they were smaller."""
        left, right = (max(0, grid - widest(side)) for side in (self.phi, self.psi))
        return Complement(self.phi << left, self.psi << right, self.slack << (left + right))


@dataclass(frozen=True, slots=True)
class Cone:
    """All facts about a pair over a box."""

    forms: Raw
    """[m, n + 1]: nonnegative linear forms of chi; row 0 is the constant 1."""
    tags: tuple[tuple[str, int, int], ...]
    """What each form says: (kind, layer, neuron); layer -1 is the input."""
    complements: tuple[Complement, ...]
    objective: Forms
    """The deviation of every output."""
    grid: int
    entering: tuple[Forms, Forms]
    """The input x of the network, and what the other side's input differs from it by."""

    @property
    def size(self) -> int:
        """Number of components of chi, the constant included."""
        return int(self.forms.shape[1])


@dataclass(slots=True)
class _Builder:
    """Collects forms while walking through the layers; lives only inside `build`."""

    grid: int
    size: int
    next_variable: int = 1
    rows: list[Raw] = field(default_factory=list)
    tags: list[tuple[str, int, int]] = field(default_factory=list)
    complements: list[Complement] = field(default_factory=list)

    def __post_init__(self) -> None:
        constant = integers(self.size)
        constant[0] = 1 << self.grid
        self.rows.append(constant)
        self.tags.append(("one", -1, 0))

    def constants(self, values: Interval) -> Forms:
        """Values that are no variables: known only to lie in their interval."""
        count = len(values.lo)
        return Forms(integers((count, self.size)), values.lo, values.hi)

    def errors(self, values: Interval, tag: str, layer: int, *, free: bool) -> Forms:
        """Return rounding errors as variables, or as nothing but their intervals."""
        return self.variables(values, tag, layer) if free else self.constants(values)

    def variable(self, lo: int, hi: int) -> Forms:
        """Return a new component of chi, scaled so that [lo, hi] maps into [-1, 1]."""
        middle = (lo + hi) >> 1
        radius = max(hi - middle, middle - lo)
        row = integers((1, self.size))
        row[0, 0] = middle
        row[0, self.next_variable] = 1 << radius.bit_length()
        self.next_variable += 1
        return Forms(row, integers(1), integers(1))

    def variables(self, box: Interval, tag: str, layer: int) -> Forms:
        """Return one value per element of `box`; where it has no width, a constant."""
        return stack([self.bounded(*ends, (tag, layer, i)) for i, ends in enumerate(_ends(box))])

    def bounded(self, lo: int, hi: int, tag: tuple[str, int, int]) -> Forms:
        """Return a value known to lie in [lo, hi]: a variable, or a constant if they are equal."""
        if lo == hi:
            return Forms(integers((1, self.size)), integers(1), integers(1)).offset(lo)
        value = self.variable(lo, hi)
        kind, layer, index = tag
        self.at_least(value, lo, (f"{kind}_lo", layer, index))
        self.at_most(value, hi, (f"{kind}_hi", layer, index))
        return value

    def at_least(self, value: Forms, bound: int, tag: tuple[str, int, int]) -> None:
        """Record value - bound >= 0."""
        self.nonnegative(value.offset(-bound), tag)

    def at_most(self, value: Forms, bound: int, tag: tuple[str, int, int]) -> None:
        """Record bound - value >= 0."""
        negated = Forms(-value.rows, -value.hi, -value.lo)
        self.nonnegative(negated.offset(bound), tag)

    def nonnegative(self, value: Forms, tag: tuple[str, int, int]) -> None:
        """Record a value that is never negative, relaxed by its residual and scaled to order 1."""
        row = value.rows[0].copy()
        row[0] = row[0] + value.hi[0]
        if widest(row) > 0:
            self.rows.append(normalised(row, self.grid)[0])
            self.tags.append(tag)

    def cone(self, objective: Forms, entering: tuple[Forms, Forms]) -> Cone:
        """Return what was recorded."""
        rows, complements = np.stack(self.rows), tuple(self.complements)
        return Cone(rows, tuple(self.tags), complements, objective, self.grid, entering)


def normalised(row: Raw, grid: int) -> tuple[Raw, int]:
    """Divide a form by 2**k so that its largest coefficient is about 1; return it and k.

    What rounding takes away, less than one unit a coefficient, is given back to the constant:
    the divided form is never below the true one.
    """
    exponent = widest(row) - grid
    if exponent <= 0:
        return row << -exponent, exponent
    divided = down(row, exponent)
    divided[0] = divided[0] + len(row)
    return divided, exponent


def _ends(box: Interval) -> list[tuple[int, int]]:
    """Return both ends of every element: Python's integers, as sums in int64 could wrap."""
    return list(zip(box.lo.tolist(), box.hi.tolist(), strict=True))


def stack(parts: list[Forms]) -> Forms:
    """Put the rows of several Forms below each other."""
    return Forms(
        np.concatenate([p.rows for p in parts]),
        np.concatenate([p.lo for p in parts]),
        np.concatenate([p.hi for p in parts]),
    )


def count_variables(pair: Pair, ranges: Ranges, *, slacks: bool, depth: int | None = None) -> int:
    """Return the size of chi: what a cone over this pair and box would cost.

    `depth`: of the first layers only.
    """
    count = 1 + _wide(ranges.input.a) + _wide(ranges.input.e) + _two_sided(pair, ranges.input)
    layers = list(zip(pair.layers, ranges.layers, strict=True))[:depth]
    for index, (layer, found) in enumerate(layers):
        match layer.curve:
            case Pieces():
                for place in layer.curve.breakpoints:
                    count += _crossed(found.y, place) + _crossed(found.z, place)
            case Knots():
                count += _wide(found.out.a) + _wide(found.delta)
            case None:
                pass
        if slacks:
            count += _wide(found.before)
        if slacks and index < len(pair.layers) - 1:
            count += _wide(found.r)
    return count


def _two_sided(pair: Pair, box: Signal) -> int:
    """Count the variables that tell the sides of truncated inputs apart."""
    return 2 * int(_both_signs(box).sum()) if pair.input_rounding is Rounding.TRUNC else 0


def _wide(box: Interval) -> int:
    return int((box.lo != box.hi).sum())


def _crossed(t: Interval, place: Raw) -> int:
    return int(((t.lo < place) & (t.hi > place)).sum())


def build(pair: Pair, ranges: Ranges, *, slacks: bool) -> Cone:
    """Derive every form and complementarity of the pair over one box.

    `slacks`: rounding errors of hidden layers are variables; otherwise they are residuals.
    """
    depth = len(pair.layers)
    builder = _Builder(pair.grid, count_variables(pair, ranges, slacks=slacks))
    entering, (_, e) = _walk(builder, (pair, ranges), depth, slacks=slacks)
    return builder.cone(e, entering)


def build_inner(pair: Pair, ranges: Ranges, layer: int, *, slacks: bool) -> Cone:
    """Derive the facts of the layers before one; the objective is its y, its sums, and sums - y."""
    size = count_variables(pair, ranges, slacks=slacks, depth=layer)
    builder = _Builder(pair.grid, size)
    entering, (a, e) = _walk(builder, (pair, ranges), layer, slacks=slacks)
    y, d = affine(pair.layers[layer], a, e, pair.grid)
    return builder.cone(stack([y, y + d, d]), entering)


InnerEnd = tuple[int, int, int]
"""(value, sign, raw): sign * a value of `build_inner`'s objective is at most raw, on the grid."""

_Entering = tuple[Forms, Forms]


def _walk(
    builder: _Builder, known: tuple[Pair, Ranges], depth: int, *, slacks: bool
) -> tuple[_Entering, _Entering]:
    """Record the facts of the first layers; return (a, e) of the input and behind them."""
    pair, ranges = known
    a = builder.variables(ranges.input.a, "x", -1)
    e = builder.variables(ranges.input.e, "e", -1)
    if pair.input_rounding is Rounding.TRUNC:
        _record_truncation(builder, a, e, ranges.input)
    entering = (a, e)
    last = len(pair.layers) - 1
    for index, (layer, found) in enumerate(
        list(zip(pair.layers, ranges.layers, strict=True))[:depth]
    ):
        y, d = affine(layer, a, e, pair.grid)
        d = d + builder.errors(found.before, "q", index, free=slacks)
        r = builder.errors(found.r, "r", index, free=slacks and index < last)
        if 0 < index < last:
            _record_ranges(builder, found, (y, d), index)
        a, delta = _activation(builder, layer.curve, found, (y, d), index)
        e = delta + r
    return entering, (a, e)


def _record_ranges(
    builder: _Builder, found: LayerRanges, values: tuple[Forms, Forms], layer: int
) -> None:
    """Record the ranges of y, d and z = y + d: known more sharply than the forms before imply."""
    y, d = values
    for kind, value, box in (("y", y, found.y), ("d", d, found.d), ("z", y + d, found.z)):
        for i, (lo, hi) in enumerate(_ends(box)):
            builder.at_least(value.pick(i), lo, (f"{kind}_from", layer, i))
            builder.at_most(value.pick(i), hi, (f"{kind}_to", layer, i))


def _record_truncation(builder: _Builder, value: Forms, error: Forms, box: Signal) -> None:
    """Record what truncation, saturated or not, does: it ends between 0 and the value.

    So error * (value + error) <= 0. Where the value has either sign, the sides are told apart:
    value = p - q with p q = 0, and error = w - u with 0 <= u <= p, 0 <= w <= q, u q = 0, w p = 0.
    """
    for i in range(len(value.rows)):
        x, e = value.pick(i), error.pick(i)
        if x.lo[0] or x.hi[0] or e.lo[0] or e.hi[0]:
            continue
        fact = Complement(-e.rows[0], (x + e).rows[0], 0)
        builder.complements.append(fact.scaled_up(builder.grid))
        if _both_signs(box)[i]:
            _record_sides(builder, (x, e), box, i)


def _both_signs(box: Signal) -> NDArray[np.bool_]:
    """Say which inputs have either sign and an error, unless there are too many of them."""
    found = (box.a.lo < 0) & (box.a.hi > 0) & (box.e.lo < 0) & (box.e.hi > 0)
    return np.asarray(found & (found.sum() <= _MOST_TWO_SIDED), dtype=bool)


def _record_sides(builder: _Builder, values: tuple[Forms, Forms], box: Signal, i: int) -> None:
    """Record the sides of a truncated value and of its error, as variables p and u."""
    x, e = values
    low, high = int(box.a.lo[i]), int(box.a.hi[i])
    p = builder.variable(0, high)
    q = p - x
    _record_relu(builder, (p, q), (low, high), ("x", -1, i))
    down_most, up_most = -int(box.e.lo[i]), int(box.e.hi[i])
    u = builder.variable(0, down_most)
    w = u + e
    for kind, part, whole, most in (("u", u, p, down_most), ("w", w, q, up_most)):
        builder.nonnegative(part, (f"{kind}_phi", -1, i))
        builder.at_most(part, most, (f"{kind}_phi_hi", -1, i))
        builder.nonnegative(whole - part, (f"{kind}_below", -1, i))
    for part, other in ((u, q), (w, p)):
        fact = Complement(-part.rows[0], other.rows[0], 0)
        builder.complements.append(fact.scaled_up(builder.grid))


def affine(layer: Layer, a: Forms, e: Forms, grid: int) -> tuple[Forms, Forms]:
    """Forms of y = W a + c and d = V e + (V - W) a + (v - c)."""
    y = _image(layer.w, a, grid)
    d = _image(layer.v, e, grid) + _image(layer.v - layer.w, a, grid)
    y.rows[:, 0] = y.rows[:, 0] + layer.c
    d.rows[:, 0] = d.rows[:, 0] + (layer.v_bias - layer.c)
    return y, d


def _image(matrix: Raw, forms: Forms, grid: int) -> Forms:
    """Forms of matrix @ values; rounding a coefficient loses less than one unit times |chi|."""
    residual = product_range(matrix, Interval(forms.lo[None], forms.hi[None]), grid).row(0)
    lost = forms.rows.shape[1]
    return Forms(down(matmul(matrix, forms.rows), grid), residual.lo - lost, residual.hi + lost)


def _activation(
    builder: _Builder,
    curve: OnGrid | None,
    found: LayerRanges,
    values: tuple[Forms, Forms],
    layer: int,
) -> tuple[Forms, Forms]:
    """Return forms of a = phi(y) and delta = phi(z) - phi(y), recording what is known.

    `values` are y and d = z - y.
    """
    if curve is None:
        return values
    neurons = range(len(found.y.lo))
    at = [(values[0].pick(i), values[1].pick(i)) for i in neurons]
    if isinstance(curve, Pieces):
        curves = [curve.only(slice(i, i + 1)) for i in neurons]
        outcome = [_hinged(builder, curves[i], found, at[i], (layer, i)) for i in neurons]
    else:
        lines = _Lines.of(curve, found)
        outcome = [_curved(builder, lines, found, at[i], (layer, i)) for i in neurons]
    return stack([a for a, _ in outcome]), stack([delta for _, delta in outcome])


def _hinged(
    builder: _Builder,
    curve: Pieces,
    found: LayerRanges,
    values: tuple[Forms, Forms],
    place: tuple[int, int],
) -> tuple[Forms, Forms]:
    """Forms for a piecewise linear curve: a sum of ReLUs, one at every breakpoint.

    phi(t) = first + s_0 (t - b_0) + sum_i (s_i+1 - s_i) relu(t - b_i).
    """
    y, d = values
    grid, i = builder.grid, place[1]
    slopes = [int(s[0]) for s in curve.slopes]
    start = int(curve.breakpoints[0][0])
    a = y.offset(-start).scaled(slopes[0], grid).offset(int(curve.first[0]))
    delta = d.scaled(slopes[0], grid)
    for knee, near, far in zip(curve.breakpoints, slopes, slopes[1:], strict=False):
        neuron = _Neuron.of(found, i, int(knee[0]))
        bent = y.offset(-int(knee[0]))
        on = _network_side(builder, neuron, bent, place)
        moved = _program_side(builder, neuron, (on, bent, d), place)
        a = a + on.scaled(far - near, grid)
        delta = delta + moved.scaled(far - near, grid)
    return a, delta


@dataclass(frozen=True, slots=True)
class _Neuron:
    """Ranges of one neuron's y, z and d."""

    y: tuple[int, int]
    z: tuple[int, int]
    d: tuple[int, int]

    @staticmethod
    def of(found: LayerRanges, i: int, knee: int) -> "_Neuron":
        """Return the ranges around a breakpoint, which is moved to 0."""
        return _Neuron(
            (int(found.y.lo[i]) - knee, int(found.y.hi[i]) - knee),
            (int(found.z.lo[i]) - knee, int(found.z.hi[i]) - knee),
            (int(found.d.lo[i]), int(found.d.hi[i])),
        )

    @property
    def delta(self) -> tuple[int, int]:
        """Range of relu(z) - relu(y), which lies between 0 and d."""
        low = max(min(self.d[0], 0), max(self.z[0], 0) - max(self.y[1], 0))
        high = min(max(self.d[1], 0), max(self.z[1], 0) - max(self.y[0], 0))
        return low, high


def _network_side(builder: _Builder, neuron: _Neuron, y: Forms, place: tuple[int, int]) -> Forms:
    low, high = neuron.y
    if low >= 0:
        return y
    if high <= 0:
        return Forms(integers((1, builder.size)), integers(1), integers(1))
    a = builder.variable(0, high)
    _record_relu(builder, (a, a - y), neuron.y, ("y", *place))
    return a


def _program_side(
    builder: _Builder,
    neuron: _Neuron,
    values: tuple[Forms, Forms, Forms],
    place: tuple[int, int],
) -> Forms:
    a, y, d = values
    active = neuron.y[0] >= 0
    if neuron.z[1] <= 0:
        delta = Forms(-a.rows, -a.hi, -a.lo)
    elif neuron.z[0] >= 0:
        delta = d if active else (y - a) + d
    else:
        delta = builder.variable(*neuron.delta)
        # relu(z) - z; where the network's side is on, a is y itself and cancels.
        psi = delta - d if active else (a - y) + (delta - d)
        _record_relu(builder, (a + delta, psi), neuron.z, ("z", *place))
    if neuron.y[0] < 0 < neuron.y[1] or neuron.z[0] < 0 < neuron.z[1]:
        _record_hull(builder, neuron, delta, d, place)
    return delta


def _record_relu(
    builder: _Builder,
    values: tuple[Forms, Forms],
    bounds: tuple[int, int],
    tag: tuple[str, int, int],
) -> None:
    """Record phi = relu(t) >= 0, psi = phi - t >= 0, their upper bounds, and phi * psi = 0."""
    phi, psi = values
    kind, layer, neuron = tag
    low, high = bounds
    builder.nonnegative(phi, (f"{kind}_phi", layer, neuron))
    builder.nonnegative(psi, (f"{kind}_psi", layer, neuron))
    builder.at_most(phi, high, (f"{kind}_phi_hi", layer, neuron))
    builder.at_most(psi, -low, (f"{kind}_psi_hi", layer, neuron))
    fact = complement(phi, psi, bounds)
    builder.complements.append(fact.scaled_up(builder.grid))


def complement(phi: Forms, psi: Forms, bounds: tuple[int, int]) -> Complement:
    """Return phi * psi <= 0 as a fact about the forms' rows.

    With phi = p + rho and psi = s + sigma: 0 = phi psi = (p + rho)(s + sigma), phi >= 0, so
    phi (-s - sigma_lo) >= phi (-s - sigma) = 0 and p (-s - sigma_lo) >= -rho (-s - sigma_lo).
    There -s - sigma_lo = -psi + (sigma - sigma_lo), and 0 <= psi <= -low bounds its magnitude.
    """
    low, _ = bounds
    row = -psi.rows[0].copy()
    row[0] = row[0] - psi.lo[0]
    reach = max(-low, int(psi.hi[0] - psi.lo[0]))
    residual = max(abs(int(phi.lo[0])), abs(int(phi.hi[0])))
    return Complement(phi.rows[0], row, residual * reach)


def _record_hull(
    builder: _Builder, neuron: _Neuron, delta: Forms, d: Forms, place: tuple[int, int]
) -> None:
    """Record the range of delta and the lines min(d, 0) <= delta <= max(d, 0) spans over d."""
    low, high = neuron.delta
    builder.at_least(delta, low, ("delta_lo", *place))
    builder.at_most(delta, high, ("delta_hi", *place))
    grid = builder.grid
    box, slopes = (
        Interval(np.array([lo], dtype=object), np.array([hi], dtype=object))
        for lo, hi in (neuron.d, (0, 1 << grid))
    )
    below, above = fan(box, slopes, grid)
    builder.nonnegative(_on_line(above, 0, d, grid) - delta, ("hull_hi", *place))
    builder.nonnegative(delta - _on_line(below, 0, d, grid), ("hull_lo", *place))


def _on_line(line: Line, i: int, value: Forms, grid: int) -> Forms:
    """Return a line's height over a value."""
    return value.scaled(int(line.slope[i]), grid).offset(int(line.offset[i]))


@dataclass(frozen=True, slots=True)
class _Lines:
    """What encloses a smooth curve over the ranges of a layer; one entry a neuron."""

    y: tuple[Line, Line]
    """Below and above phi(y)."""
    z: tuple[Line, Line]
    fan: tuple[Line, Line]
    """Below and above delta, over d."""
    slopes: Interval

    @staticmethod
    def of(curve: Knots, found: LayerRanges) -> "_Lines":
        slopes = curve.slopes_over(found.y.hull(found.z))
        y, z = ((curve.below(t), curve.above(t)) for t in (found.y, found.z))
        return _Lines(y, z, fan(found.d, slopes, curve.grid), slopes)


def _curved(
    builder: _Builder,
    lines: _Lines,
    found: LayerRanges,
    values: tuple[Forms, Forms],
    place: tuple[int, int],
) -> tuple[Forms, Forms]:
    """Forms for a smooth curve: a and delta are variables between lines."""
    y, d = values
    grid, i = builder.grid, place[1]
    a, delta = (
        builder.bounded(int(t.lo[i]), int(t.hi[i]), (tag, *place))
        for tag, t in (("y_phi", found.out.a), ("delta", found.delta))
    )
    for tag, line, t, height in (
        ("y", lines.y, y, a),
        ("z", lines.z, y + d, a + delta),
        ("hull", lines.fan, d, delta),
    ):
        builder.nonnegative(height - _on_line(line[0], i, t, grid), (f"{tag}_below", *place))
        builder.nonnegative(_on_line(line[1], i, t, grid) - height, (f"{tag}_above", *place))
    low, high = int(lines.slopes.lo[i]), int(lines.slopes.hi[i])
    # delta lies between the least and the greatest slope times d, on one side of both or the other.
    builder.complements.append(
        _same_sign(delta - d.scaled(low, grid), d.scaled(high, grid) - delta, grid)
    )
    return a, delta


def _same_sign(first: Forms, second: Forms, grid: int) -> Complement:
    """Return first * second >= 0 as a fact about the forms' rows.

    (p + rho)(s + sigma) >= 0 gives p s >= -|p| |sigma| - |s| |rho| - |rho| |sigma|.
    """
    p, s = (int(abs(form.rows[0]).sum()) for form in (first, second))
    rho, sigma = (max(abs(int(form.lo[0])), abs(int(form.hi[0]))) for form in (first, second))
    slack = p * sigma + s * rho + rho * sigma
    return Complement(first.rows[0], second.rows[0], slack).scaled_up(grid)


# --- the exact check -----------------------------------------------------------------------------

MULTIPLIER_BITS = 40
"""Multipliers, t and tau are multiples of 2**-MULTIPLIER_BITS."""
FACTOR_BITS = 48
"""Entries of the factor C are multiples of 2**-FACTOR_BITS."""


@dataclass(frozen=True, slots=True)
class Dual:
    """What a solver's answer leaves behind: integers, none of them believed."""

    t: int
    tau: int
    products: Sequence[tuple[int, ...]]
    """(form i, form j, multiplier >= 0)."""
    complements: Sequence[tuple[int, ...]]
    """(complementarity k, multiplier >= 0)."""
    factor: Sequence[tuple[int, ...]]
    """Rows of a lower triangular C with C C^T close to M + tau I."""


class DualError(ValueError):
    """The dual data prove nothing; the text says why."""


def dual_bound(cone: Cone, objective: Raw, dual: Dual) -> int:
    """Prove `objective` <= result on chi for every input; the result is in units 2**-40.

    `objective` is a symmetric matrix [n + 1, n + 1] on the grid 2**-2grid.

    Raises:
        DualError: a multiplier is negative, an index is none, or M + tau I is not proven
            positive semidefinite.
    """
    twice = slack_matrix(cone, objective, dual)
    check_factor(twice, dual.factor, 2 * cone.grid + MULTIPLIER_BITS)
    return dual.t + dual.tau * cone.size


def slack_matrix(cone: Cone, objective: Raw, dual: Dual) -> Raw:
    """Return 2 (M + tau I) exactly, on the grid 2**-(2grid + MULTIPLIER_BITS)."""
    unit = 2 * cone.grid
    if dual.tau < 0:
        raise DualError("tau is negative")
    if len({(i, j) for i, j, _ in dual.products}) != len(dual.products):
        raise DualError("a product stands twice")
    weighted: dict[int, Raw] = {}
    for i, j, multiplier in dual.products:
        _require_multiplier(multiplier, max(i, j), min(i, j), len(cone.forms))
        weighted[i] = weighted.get(i, 0) + cone.forms[j] * multiplier
    if len({k for k, _ in dual.complements}) != len(dual.complements):
        raise DualError("a complementarity stands twice")
    half = integers((cone.size, cone.size))
    if weighted:
        half = matmul(cone.forms[list(weighted)].T, np.stack(list(weighted.values())))
    for k, multiplier in dual.complements:
        _require_multiplier(multiplier, k, k, len(cone.complements))
        fact = cone.complements[k]
        half = half + np.outer(fact.phi, fact.psi) * multiplier
        half[0, 0] = half[0, 0] + fact.slack * multiplier
    result = -(half + half.T) - objective * (2 << MULTIPLIER_BITS)
    result[0, 0] = result[0, 0] + (dual.t << (unit + 1))
    diagonal = np.arange(cone.size)
    result[diagonal, diagonal] = result[diagonal, diagonal] + (dual.tau << (unit + 1))
    return np.asarray(result, dtype=object)


def _require_multiplier(multiplier: int, highest: int, lowest: int, count: int) -> None:
    if multiplier < 0:
        raise DualError("a multiplier is negative")
    if lowest < 0 or highest >= count:
        raise DualError("a multiplier belongs to no constraint")


def check_factor(twice: Raw, factor: Sequence[tuple[int, ...]], bits: int) -> None:
    """Prove `twice` >= 0: C C^T is, and the exact rest is diagonally dominant.

    Raises:
        DualError: the rest is not diagonally dominant, so nothing is proven.
    """
    size = len(twice)
    if len(factor) != size or [len(row) for row in factor] != list(range(1, size + 1)):
        raise DualError("the factor has the wrong shape")
    c = integers((size, size))
    for i, row in enumerate(factor):
        c[i, : i + 1] = row
    common = max(bits, 2 * FACTOR_BITS)
    rest = (twice << (common - bits)) - ((2 * matmul(c, c.T)) << (common - 2 * FACTOR_BITS))
    diagonal = np.diagonal(rest)
    others = abs(rest).sum(axis=1) - abs(diagonal)
    if not all(a >= b for a, b in zip(diagonal, others, strict=True)):
        raise DualError("the factor does not prove the matrix positive semidefinite")


def linear_objective(row: Raw, grid: int) -> Raw:
    """Return the matrix of a linear form: row @ chi = chi^T matrix chi, on 2**-2grid."""
    matrix = integers((len(row), len(row)))
    doubled = row << (grid - 1)
    matrix[0, :] = doubled
    matrix[:, 0] = matrix[:, 0] + doubled
    return matrix


def square_objective(rows: Raw) -> Raw:
    """Return the matrix of the sum of the squares of linear forms, on 2**-2grid."""
    return matmul(rows.T, rows)


def signed(value: Forms, sign: int) -> tuple[Raw, int]:
    """Return the row and the residual bound of +value or -value."""
    if sign > 0:
        return value.rows[0], int(value.hi[0])
    return -value.rows[0], -int(value.lo[0])
