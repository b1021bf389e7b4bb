"""What a user may ask of a build, in the words of the command line, and how it is read.

`Options` holds the words; `read_formats`, `read_tolerance` and `choose_regions` turn them into
values or say which option is wrong. The command line and the Python API share all of it.
"""

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from qdeploy import importer
from qdeploy.boards import DEFAULT as DEFAULT_BOARD
from qdeploy.certifier import DEFAULT_MEMORY, CertifyRequest, Crew, known_methods
from qdeploy.diagnostics import UsageError
from qdeploy.fixedpoint import MAX_BITS, QFormat, Rounding, parse_format
from qdeploy.ir import Activations, Box, Network, QuantizeRequest, Ranges
from qdeploy.ir.naming import name_fault
from qdeploy.proof import DecisionKind
from qdeploy.reduce import Amount, known_reducers

DEFAULT_VECTORS = 256
MOST_JOBS = 256

Choice = TypeVar("Choice", bound=StrEnum)


class Norm(StrEnum):
    """Which norm of the deviation a tolerance is about."""

    INF = "inf"
    TWO = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `qdeploy build` and `qdeploy certify`, as given."""

    model: Path
    board: str = DEFAULT_BOARD
    inputs: str | None = None
    bits: int = 16
    weights: str | None = None
    biases: str | None = None
    activations: str = "auto"
    input_format: str | None = None
    ranges: str = "auto"
    rounding: str = "nearest"
    quantizer: str | None = None
    """None: the same as `rounding`."""
    prune: str | None = None
    deploy: Path | None = None
    """The model that runs on the device; None: the one that is certified against."""
    tolerance: str | None = None
    norm: str = "inf"
    method: str | None = None
    """Names of bound methods, separated by commas. None: all but those used on request only."""
    work: float | None = None
    memory: str | None = None
    decision: str | None = None
    time_limit: float | None = None
    jobs: int | None = None
    """None: as many as this process may use cores."""
    cluster: str | None = None
    name: str | None = None
    """Of the library; None: model."""
    compiler: str | None = None
    output: Path | None = None
    force: bool = False
    """Whether `output` may take the place of something that we did not write."""
    config: Path | None = None
    """Where options were read from."""
    no_run: bool = False


@dataclass(frozen=True, slots=True)
class Formats:
    """The format options, read; None where the quantiser is to choose."""

    bits: int
    weights: QFormat | None
    biases: QFormat | None
    activations: QFormat | Activations
    input_format: QFormat | None
    ranges: Ranges
    rounding: Rounding
    quantizer: Rounding

    def request(self, regions: tuple[Box, ...], work: float) -> QuantizeRequest:
        """Return the quantiser's request for these regions; `work` as in `QuantizeRequest`."""
        return QuantizeRequest(
            regions=regions,
            bits=self.bits,
            weights=self.weights,
            biases=self.biases,
            activations=self.activations,
            input_format=self.input_format,
            rounding=self.rounding,
            quantizer=self.quantizer,
            ranges=self.ranges,
            work=work,
        )


def read_formats(options: Options) -> Formats:
    """Read every format option.

    Raises:
        UsageError: an option is malformed, or no input range follows from the options.
    """
    if not 1 <= options.bits <= MAX_BITS:
        raise UsageError(
            f"--bits {options.bits} is no word length of a tensor",
            fix=f"choose 1 to {MAX_BITS}; 8 and 16 are usual",
        )
    if options.inputs is None and options.input_format is None:
        raise UsageError(
            "neither --inputs nor --input-format is given, so the set of inputs is unknown",
            fix="say what the bound is to hold for, for example --inputs -1:1",
        )
    rounding = _choice(Rounding, options.rounding, "--rounding")
    quantizer = rounding
    if options.quantizer is not None:
        quantizer = _choice(Rounding, options.quantizer, "--quantizer")
    return Formats(
        options.bits,
        _format(options.weights, "--weights"),
        _format(options.biases, "--biases"),
        _activations(options.activations),
        _format(options.input_format, "--input-format"),
        _ranges(options),
        rounding,
        quantizer,
    )


def _format(text: str | None, option: str) -> QFormat | None:
    return None if text is None else parse_format(text, option)


def _activations(text: str) -> QFormat | Activations:
    if text in {choice.value for choice in Activations}:
        return Activations(text)
    if text.isalpha():
        known = ", ".join(choice.value for choice in Activations)
        raise UsageError(
            f"--activations {text!r} is unknown", fix=f"give one of {known}, or a format IB.FB"
        )
    return parse_format(text, "--activations")


def _ranges(options: Options) -> Ranges:
    ranges = _choice(Ranges, options.ranges, "--ranges")
    if ranges is not Ranges.AUTO and options.activations != Activations.AUTO.value:
        raise UsageError(
            f"--ranges {options.ranges} chooses formats of activations, and --activations "
            f"{options.activations} gives them",
            fix="give one of the two options",
        )
    return ranges


def _choice(kind: type[Choice], text: str, option: str) -> Choice:
    choices = [choice.value for choice in kind]
    if text not in choices:
        raise UsageError(f"{option} {text!r} is unknown", fix=f"choose one of {', '.join(choices)}")
    return kind(text)


def read_norm(options: Options) -> Norm:
    """Read --norm."""
    return _choice(Norm, options.norm, "--norm")


def read_decision(options: Options) -> DecisionKind | None:
    """Read --decision."""
    if options.decision is None:
        return None
    return _choice(DecisionKind, options.decision, "--decision")


def check_decision(options: Options, network: Network) -> None:
    """Refuse --decision where there is nothing to choose between.

    Raises:
        UsageError: the network has one output.
    """
    if options.decision is not None and network.outputs[0].size == 1:
        raise UsageError(
            f"--decision {options.decision}: the network has one output, so it decides nothing",
            fix="leave --decision out; --tolerance is for networks that compute a number",
        )


def read_prune(options: Options) -> tuple[str, Amount] | None:
    """Read --prune REDUCER:N or REDUCER:P%, and that --deploy is not given as well.

    Raises:
        UsageError: no known reducer, or no amount.
    """
    if options.prune is None:
        return None
    if options.deploy is not None:
        raise UsageError(
            "--prune makes the network that runs on the device, and --deploy names another one",
            fix="give one of them; export the pruned model to use it with --deploy",
        )
    name, _, amount = options.prune.partition(":")
    found = _AMOUNT.fullmatch(amount)
    if name not in known_reducers() or found is None or not Fraction(found[1]):
        known = ", ".join(f"{reducer}:N or {reducer}:P%" for reducer in known_reducers())
        raise UsageError(
            f"--prune {options.prune[:80]!r} does not say what is to go",
            fix=f"write {known}, N more than 0 and P up to 100",
        )
    number = Fraction(found[1])
    share = bool(found[2])
    if (share and number > _WHOLE) or (not share and number.denominator != 1):
        raise UsageError(
            f"--prune {options.prune[:80]!r} asks for more than all or for a part of one",
            fix="write for example neurons:8 or weights:50%",
        )
    return name, Amount(number / _WHOLE if share else number, share)


_AMOUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(%?)")
_WHOLE = 100


def read_methods(options: Options) -> frozenset[str] | None:
    """Read --method; None where it is not given.

    Raises:
        UsageError: a method is unknown.
    """
    if options.method is None:
        return None
    known = {name.replace("_", "-"): name for name in known_methods()}
    names = [name.strip() for name in options.method.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(
                f"--method {name[:80]!r} is unknown", fix=f"choose among {', '.join(known)}"
            )
    return frozenset(known[name] for name in names)


def read_tolerance(options: Options) -> Fraction | None:
    """Read --tolerance exactly as it was written.

    Raises:
        UsageError: not a non-negative finite decimal or fraction.
    """
    if options.tolerance is None:
        return None
    try:
        value = None if _endless(options.tolerance) else Fraction(options.tolerance)
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None or value < 0:
        raise UsageError(
            f"--tolerance {options.tolerance[:80]!r} is no non-negative number of a sensible size",
            fix="write for example --tolerance 0.01",
        )
    return value


def _endless(text: str) -> bool:
    """Whether the number that `text` spells may be too long to calculate with."""
    return len(text) > _LONGEST_NUMBER or _LARGE_EXPONENT.search(text) is not None


_LONGEST_NUMBER = 400
_LARGE_EXPONENT = re.compile(r"e[+-]?[0_]*[1-9][0-9_]{3}", re.IGNORECASE)
"""Of four digits or more: beyond every double."""


def read_memory(options: Options) -> int:
    """Read --memory: bytes, or a number with K, M or G (of 1024) behind it.

    Raises:
        UsageError: it is no such size.
    """
    if options.memory is None:
        return DEFAULT_MEMORY
    size = _SIZE.fullmatch(options.memory)
    if size is None:
        raise UsageError(
            f"--memory {options.memory[:80]!r} is no size of memory",
            fix="write bytes, or for example 500M or 4G",
        )
    return int(Fraction(size[1]) * _UNITS[size[2].upper()])


_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMG]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read_search(options: Options) -> CertifyRequest:
    """Read what the search for a bound may take and try.

    Raises:
        UsageError: one of these options is malformed.
    """
    check_limits(options)
    return CertifyRequest(
        work=options.work,
        time_limit=options.time_limit,
        methods=read_methods(options),
        memory=read_memory(options),
    )


def read_name(options: Options) -> str | None:
    """Read --name.

    Raises:
        UsageError: no library can be called so.
    """
    if options.name is not None and name_fault(options.name):
        raise UsageError(
            f"--name {options.name[:80]!r} {name_fault(options.name)}",
            fix="write a short name of letters, digits and underscores, such as tilt or motor_2",
        )
    return options.name


def choose_crew(options: Options) -> Crew:
    """Return who is to work on the certificate.

    Raises:
        UsageError: nobody is.
    """
    jobs = usable_cores() if options.jobs is None else options.jobs
    if not 1 <= jobs <= MOST_JOBS:
        raise UsageError(f"--jobs {jobs} is no number of processes", fix=f"choose 1 to {MOST_JOBS}")
    return Crew(jobs, options.cluster)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST_JOBS)
    return min(os.cpu_count() or 1, MOST_JOBS)


def check_limits(options: Options) -> None:
    """Refuse a budget of work that is negative and a time limit that is not positive.

    Raises:
        UsageError: one of them is.
    """
    if options.work is not None and not 0 <= options.work < float("inf"):
        raise UsageError(
            f"--work {options.work} is no non-negative number of predicted seconds",
            fix="write for example --work 60",
        )
    limit = options.time_limit
    if limit is not None and not 0 < limit < float("inf"):
        raise UsageError(
            f"--time-limit {limit} is no positive number of seconds",
            fix="write for example --time-limit 60",
        )


def choose_regions(options: Options, formats: Formats, n_inputs: int) -> tuple[Box, ...]:
    """Return the regions the statement is about: --inputs, or the input format's whole range."""
    if options.inputs is not None:
        return importer.read_regions(options.inputs, n_inputs)
    if formats.input_format is None:
        raise ValueError("read_formats lets no such options pass")
    return (full_range(formats.input_format, n_inputs),)


def full_range(fmt: QFormat, n_inputs: int) -> Box:
    """Return the box of everything the input format can hold."""
    name = f"whole range of {fmt.ib}.{fmt.fb}, no inputs being given"
    return Box((fmt.min,) * n_inputs, (fmt.max,) * n_inputs, name)
