"""Options that several commands share, and the configuration file that may hold them."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from qdeploy.cli._answer import Answer
from qdeploy.diagnostics import InputError, UsageError, Where
from qdeploy.pipeline import Options
from qdeploy.reading import Kind, MalformedError, exists, parse_toml, read_text

Decorator = Callable[[Any], Any]

CONFIGURATION = Kind(
    "the configuration file", 1 << 20, "give the path of a TOML file with one option a line"
)
PATH_OPTIONS = frozenset({"deploy", "inputs", "output"})
"""A configuration file's paths are relative to its own folder."""


def network_options(command: Any) -> Any:  # noqa: ANN401  click decorates functions and commands alike
    """Add what `build` and `certify` have in common."""
    for option in reversed(_NETWORK_OPTIONS):
        command = option(command)
    return command


def with_options(function: Callable[[Options], Answer]) -> Callable[..., Answer]:
    """Let a command take one `Options` instead of an argument an option."""

    def call(**given: Any) -> Answer:  # noqa: ANN401  click's converted values, named like our fields
        return function(Options(**given))

    return functools.update_wrapper(call, function)


def read_config(
    context: click.Context, parameter: click.Parameter, path: Path | None
) -> Path | None:
    """Make the values of a configuration file the defaults of the command line.

    Raises:
        InputError: the file cannot be read.
        UsageError: a key is no option of this command, or a value has the wrong type.
    """
    del parameter
    if path is None:
        return None
    values = _load_toml(path)
    known = {p.name: p for p in context.command.params if p.name not in {"model", "config"}}
    defaults = {}
    for key, value in values.items():
        option = known.get(key.replace("-", "_"))
        if option is None:
            raise UsageError(
                f"{key!r} is no option of qdeploy {context.info_name}",
                where=Where(str(path), f"key {key}"),
                fix=f"known keys: {', '.join(sorted(str(k).replace('_', '-') for k in known))}",
            )
        defaults[str(option.name)] = _config_value(path, key, value, option)
    context.default_map = defaults
    return path


def _load_toml(path: Path) -> dict[str, Any]:
    text = read_text(path, CONFIGURATION)
    try:
        # A float would lose what the user wrote: the format 8.10 is not 8.1.
        return parse_toml(text, number=str)
    except MalformedError as error:
        raise InputError(
            f"the configuration file is no TOML: {error}",
            where=Where(str(path)),
            fix="write one option a line, as in: bits = 8",
        ) from error


def _config_value(path: Path, key: str, value: object, option: click.Parameter) -> object:
    """Check that a value is of the option's kind, and find the file it may name."""
    flag = isinstance(option.type, click.types.BoolParamType)
    if isinstance(value, bool) != flag or not isinstance(value, str | int):
        raise UsageError(
            f"{key} must be {'true or false' if flag else 'text or a number'}, not "
            f"{repr(value)[:80]}",
            where=Where(str(path), f"key {key}"),
        )
    if "\0" in str(value):
        raise UsageError(f"{key} holds a zero byte", where=Where(str(path), f"key {key}"))
    if option.name in PATH_OPTIONS:
        return _beside(path, str(value))
    return value if flag else str(value)


def _beside(config: Path, value: str) -> str:
    """Return `value`, with a file it names taken from the configuration file's folder."""
    prefix, separator, rest = value.rpartition("data:")
    name, radius_separator, radius = rest.partition(":") if separator else (rest, "", "")
    candidate = config.parent / name
    if not exists(candidate):
        return value
    return f"{prefix}{separator}{candidate}{radius_separator}{radius}"


force_option = click.option(
    "--force", is_flag=True, help="Replace what stands there even if qdeploy did not write it."
)
"""For commands that write; what a command reads is never replaced."""

_ROUNDINGS = click.Choice(["nearest", "floor", "trunc"])

_NETWORK_OPTIONS: tuple[Decorator, ...] = (
    click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx"),
    click.option(
        "--inputs",
        metavar="BOX",
        help="The inputs the bound must hold for: LO:HI for all, a .json or .toml file with lo "
        "and hi, a .vnnlib file, or data:X.npz[:RADIUS]. Default: the range of --input-format.",
    ),
    click.option(
        "--bits",
        type=int,
        default=16,
        show_default=True,
        metavar="N",
        help="Word length of every tensor whose format is not given.",
    ),
    click.option("--weights", metavar="IB.FB", help="Format of all weights."),
    click.option(
        "--biases", metavar="IB.FB", help="Coarser format biases are rounded to beforehand."
    ),
    click.option(
        "--activations",
        metavar="IB.FB|exact|auto",
        default="auto",
        show_default=True,
        help="Format of all activations; auto: by their ranges, exact: no bit is lost.",
    ),
    click.option(
        "--ranges",
        type=click.Choice(["auto", "proven", "sampled"]),
        default="auto",
        show_default=True,
        help="What automatic activations hold: all that is proven to occur, or twice what sampled "
        "inputs reach, where what lies beyond saturates and counts in the bound; auto: proven, "
        "unless hardly a step is left in a deep network.",
    ),
    click.option("--input-format", metavar="IB.FB", help="Format of the network's input."),
    click.option(
        "--rounding",
        type=_ROUNDINGS,
        default="nearest",
        show_default=True,
        help="How inputs and activations are rounded.",
    ),
    click.option(
        "--quantizer",
        type=_ROUNDINGS,
        help="How weights and biases are rounded. Default: as --rounding.",
    ),
    click.option(
        "--prune",
        metavar="WHAT:N|P%",
        help="Run a smaller network on the device, with a bound against MODEL all the same: "
        "neurons:8 removes the 8 hidden neurons of least norm, weights:50% sets the smaller half "
        "of all weights to zero.",
    ),
    click.option(
        "--deploy",
        type=click.Path(path_type=Path),
        metavar="SMALL.onnx",
        help="Run this model on the device instead, with a bound against MODEL: one that was "
        "pruned, reduced or trained again, with equal activations layer by layer.",
    ),
    click.option(
        "--tolerance",
        metavar="EPS",
        help="Answer whether the deviation stays within EPS: exit 0, 1 or 5 (inconclusive).",
    ),
    click.option(
        "--norm",
        type=click.Choice(["inf", "2"]),
        default="inf",
        show_default=True,
        help="The norm --tolerance is about.",
    ),
    click.option(
        "--decision",
        type=click.Choice(["argmax", "argmin"]),
        help="For classifiers: prove in which regions the device decides as the network does, "
        "for every input; --inputs data:X.npz:RADIUS gives the shares of a data set.",
    ),
    click.option(
        "--method",
        metavar="NAMES",
        help="Which methods may bound the deviation, beside the cheap ones that always do: split, "
        "sdp, tuned, or sdp-paper, the constraint set of Li, Drummond and Duncan (2021); several "
        "separated by commas. Default: all but sdp-paper.",
    ),
    click.option(
        "--work",
        type=float,
        metavar="W",
        help="Work the search for a bound may take, in predicted seconds of one core: equal "
        "requests then give equal certificates. The first look at all regions, the attack and the "
        "explanation scale with it; the check takes about as long as what it checks. Default: 5, "
        "unless --time-limit is given.",
    ),
    click.option(
        "--time-limit",
        type=float,
        metavar="S",
        help="Seconds by the clock after which the best bound so far is taken.",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="Memory the search for a bound may take, in bytes or as 500M or 4G; processes that "
        "do not fit are left out, and it is said. Default: 2G.",
    ),
    click.option(
        "--jobs",
        type=int,
        metavar="N",
        help="Processes that search for the bound; the certificate is the same for any number. "
        "Default: the number of cores.",
    ),
    click.option(
        "--cluster",
        metavar="tcp://HOST:PORT",
        help="Search on the machines of this Dask scheduler instead (pip install "
        "'.[cluster]' in the checkout); it must be one that you trust.",
    ),
    click.option(
        "--name",
        metavar="NAME",
        help="What the library is called, for programs that hold several: NAME.h, NAME_run(), "
        "NAME_N_IN, CMake target NAME. Default: model.h, qd_model_run(), QD_MODEL_N_IN, qd_model.",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="qdeploy.toml",
        is_eager=True,
        callback=read_config,
        help="Read options from a file; the command line overrides it.",
    ),
    force_option,
)
