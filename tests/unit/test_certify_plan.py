"""What a certificate may take follows from sizes and request; what is left out is said."""

import itertools
import re
from dataclasses import replace
from functools import cache

import pytest
from qdeploy import quantize
from qdeploy.certifier import CertifyRequest, check_size, make_plan
from qdeploy.certifier.plan import Plan, _Sizes
from qdeploy.diagnostics import ExhaustedError, ExitCode
from qdeploy.ir import FixedNetwork, Network, QuantizeRequest
from support.networks import centred_box, chain

SMALL, DEEP, WIDE = (2, 8, 2), (8,) * 20, (30, 100, 100, 2)
FREE = {"recursion", "interval", "linear"}
ALL = FREE | {"split", "tuned", "sdp"}
WORKS = (0.0, 0.1, 0.5, 1.0, 3.0, 10.0, 100.0, 1000.0)


@cache
def pair(widths: tuple[int, ...]) -> tuple[Network, FixedNetwork]:
    network = chain(widths)
    request = QuantizeRequest((centred_box(widths[0]),), bits=8, work=0.0)
    return network, quantize.run(network, request)


def planned(
    widths: tuple[int, ...], request: CertifyRequest, regions: int = 1, jobs: int = 1
) -> Plan:
    return make_plan(*pair(widths), (centred_box(widths[0]),) * regions, request, jobs)


def needed(widths: tuple[int, ...]) -> int:
    """Bytes of one process."""
    return _Sizes.of(*pair(widths)).process_bytes


# --- work ------------------------------------------------------------------------------------


def test_where_all_fits_nothing_is_left_out() -> None:
    plan = planned(SMALL, CertifyRequest())
    assert (plan.methods, plan.notes, plan.explained) == (ALL, (), True)


@pytest.mark.parametrize("widths", [DEEP, WIDE])
def test_lines_that_work_has_no_room_for_are_said(widths: tuple[int, ...]) -> None:
    plan = planned(widths, CertifyRequest(work=0.0), regions=100)
    (note,) = plan.notes
    assert "linear" not in plan.methods
    assert note.startswith("linear bounds are left out: a look takes about ")
    assert note.endswith(" s a region, and --work allows 0.01")


@pytest.mark.parametrize("name", ["split", "tuned", "sdp"])
def test_of_the_others_only_those_that_were_asked_for_are_missed(name: str) -> None:
    request = CertifyRequest(work=0.0, methods=frozenset({name}))
    asked, free = (planned(WIDE, r, regions=500) for r in (request, replace(request, methods=None)))
    said = f"{name} bounds are left out: "
    assert name not in asked.methods | free.methods
    assert any(note.startswith(said) for note in asked.notes)
    assert not any(note.startswith(said) for note in free.notes)


@pytest.mark.parametrize(
    ("names", "missed"),
    [
        ({"split"}, []),
        ({"sdp"}, ["sdp"]),
        ({"sdp_paper", "split", "tuned"}, ["sdp-paper", "tuned"]),
    ],
)
def test_regions_that_are_bounded_together_miss_what_was_asked_for(
    names: set[str], missed: list[str]
) -> None:
    plan = planned(SMALL, CertifyRequest(work=1.0, methods=frozenset(names)), regions=100)
    assert plan.together
    assert [note.split(" bounds are left out")[0] for note in plan.notes] == missed


def test_an_explanation_that_work_has_no_room_for_is_said() -> None:
    plan = planned((8,) * 60, CertifyRequest(work=0.0))
    assert not plan.explained
    assert any(note.startswith("where the bound comes from is left out") for note in plan.notes)
    assert planned((8,) * 60, CertifyRequest(work=100.0)).explained


@pytest.mark.parametrize("widths", [SMALL, DEEP, WIDE])
@pytest.mark.parametrize("regions", [1, 30, 2000])
def test_more_work_leaves_no_more_out(widths: tuple[int, ...], regions: int) -> None:
    plans = [planned(widths, CertifyRequest(work=work), regions) for work in WORKS]
    for less, more in itertools.pairwise(plans):
        assert less.methods <= more.methods
        assert (less.tries, less.relaxed) <= (more.tries, more.relaxed)
        assert less.explained <= more.explained
    assert plans[-1].methods == ALL or regions == 2000


@pytest.mark.parametrize("widths", [SMALL, DEEP, WIDE])
@pytest.mark.parametrize("regions", [1, 30, 1000])
@pytest.mark.parametrize("work", [0.5, 5.0, 50.0])
def test_what_begins_keeps_its_share(widths: tuple[int, ...], regions: int, work: float) -> None:
    """Of a region's work: lines twice, each other look a quarter or 0.1 s, attacks a quarter."""
    plan, share = planned(widths, CertifyRequest(work=work), regions), work / regions
    others = len(plan.methods - FREE)
    quick = planned(widths, CertifyRequest(work=1e6)).look
    assert plan.look == quick
    if not plan.together:
        lines = plan.look * ("linear" in plan.methods)
        assert lines <= 2 * share
        assert plan.relaxed <= share / 4
        assert plan.attack <= share / 4 or plan.tries == 32
        assert others == 0 or share > 0


def test_a_time_limit_is_planned_by_like_work() -> None:
    for limit in (0.7, 5.0, 50.0):
        timed = planned(DEEP, CertifyRequest(time_limit=limit), 30)
        assert timed == planned(DEEP, CertifyRequest(work=limit), 30)
    both = CertifyRequest(work=50.0, time_limit=0.7)
    assert planned(DEEP, both, 30) == planned(DEEP, CertifyRequest(work=0.7), 30)


@pytest.mark.parametrize(
    ("widths", "regions", "work", "together"),
    [
        (SMALL, 1, 0.0, False),
        (SMALL, 48, 0.0, False),
        (SMALL, 49, 0.0, True),
        (SMALL, 100, 5.0, True),
        (SMALL, 100, 60.0, False),
        (SMALL, 4096, 60.0, True),
        (DEEP, 100, 0.0, False),
        (DEEP, 100, 5.0, True),
        (DEEP, 4096, 5.0, False),
    ],
)
def test_regions_without_a_search_of_their_own_are_bounded_together_where_that_fits(
    widths: tuple[int, ...], regions: int, work: float, together: bool
) -> None:
    plan = planned(widths, CertifyRequest(work=work), regions)
    assert plan.together is together
    assert not (together and plan.notes)


# --- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "jobs", "fitting"),
    [(1, 1, 1), (1, 4, 1), (2, 4, 1), (3, 4, 2), (4, 4, 3), (5, 4, 4), (100, 4, 4), (5, 2, 2)],
)
def test_as_many_processes_search_as_fit_beside_the_one_that_waits(
    times: int, jobs: int, fitting: int
) -> None:
    plan = planned(SMALL, CertifyRequest(memory=times * needed(SMALL)), jobs=jobs)
    assert plan.jobs == fitting
    said = (f"{fitting} of {jobs} processes search: --memory has no room for more",)
    assert plan.notes == (said if fitting < jobs else ())


def size_named(refusal: ExhaustedError) -> int:
    """Bytes that a refusal asks for."""
    assert refusal.exit_code is ExitCode.INCONCLUSIVE
    (named,) = re.findall(r"give --memory (\d+)M or more", refusal.fix or "")
    assert f"bounding this network takes about {named} MiB, --memory allows " in refusal.what
    return int(named) << 20


@pytest.mark.parametrize("widths", [SMALL, DEEP, WIDE])
def test_where_not_even_one_fits_the_size_to_give_is_named(widths: tuple[int, ...]) -> None:
    with pytest.raises(ExhaustedError) as refused:
        planned(widths, CertifyRequest(memory=needed(widths) - 1))
    size = size_named(refused.value)
    assert planned(widths, CertifyRequest(memory=size)).jobs == 1
    with pytest.raises(ExhaustedError):
        planned(widths, CertifyRequest(memory=size - (1 << 20)))


@pytest.mark.parametrize("widths", [SMALL, DEEP, WIDE])
def test_a_size_named_before_there_is_a_program_suffices_for_it(widths: tuple[int, ...]) -> None:
    network, _ = pair(widths)
    with pytest.raises(ExhaustedError) as refused:
        check_size(network, 1 << 20)
    size = size_named(refused.value)
    check_size(network, size)
    assert planned(widths, CertifyRequest(memory=size)).jobs == 1


def wide(n_in: int, n_out: int, hidden: int = 0) -> _Sizes:
    """One dense layer, or two, without making it."""
    widths = (n_in, *[hidden] * (hidden > 0), n_out)
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    biases = sum(widths[1:])
    return _Sizes(widths, weights, weights + biases, 2 * sum(widths), 2 * len(widths) - 3)


@pytest.mark.parametrize(
    "shape", [lambda n: (n, 1), lambda n: (1, n), lambda n: (n, n), lambda n: (n, n, n)]
)
def test_memory_grows_linearly_in_weights(shape) -> None:
    sizes = [wide(*shape(n)) for n in (1 << k for k in range(5, 17))]
    for size in sizes:
        assert 320 * size.weights < size.process_bytes <= (390 << 20) + 920 * size.weights
    large = [s for s in sizes if s.weights > 100_000 and s.numbers > 4096]
    for less, more in itertools.pairwise(large):
        growth = more.process_bytes - less.process_bytes
        assert growth == 320 * (more.weights - less.weights)


@pytest.mark.parametrize("widths", [(65_535, 1), (1, 65_535), (30_000, 1), (1, 30_000)])
def test_the_widest_layers_need_half_a_gigabyte(widths: tuple[int, int]) -> None:
    assert wide(*widths).process_bytes < 1 << 29
