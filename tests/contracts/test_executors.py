"""Every executor computes the same answers, whatever happens to those who compute them."""

import os
import sys
import warnings
from fractions import Fraction

import psutil
import pytest
from distributed import LocalCluster
from qdeploy import quantize
from qdeploy.certifier import Crew
from qdeploy.certifier.executors import dask, known_executors, open_executor, pool
from qdeploy.certifier.tasks import Scene, Task
from qdeploy.diagnostics import MissingToolError, RefusedError
from qdeploy.ir import Box, QuantizeRequest
from support import tasks
from support.networks import paper_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
KINDS = ("inline", "pool", "dask")


@pytest.fixture(scope="module")
def scene():
    network = paper_network(0, 1)
    return Scene(network, quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8)))


@pytest.fixture(scope="module")
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as started:
            yield started.scheduler_address


@pytest.fixture(params=KINDS)
def crew(request, monkeypatch):
    """A crew for each kind of executor; the pool starts its processes at once."""
    monkeypatch.setattr(pool, "_WORTH_A_START", 0.0)
    if request.param == "dask":
        return Crew(1, request.getfixturevalue("cluster"))
    return Crew({"inline": 1, "pool": 2}[request.param])


def answers(executor, jobs):
    for place, (function, *arguments) in enumerate(jobs):
        executor.submit((0, place), Task(function, tuple(arguments), 0.1))
    return dict(executor.receive(None) for _ in jobs)


def children():
    return psutil.Process().children(recursive=True)


def test_there_is_an_executor_for_every_crew():
    assert set(known_executors()) == set(KINDS)
    for crew in (Crew(1), Crew(2), Crew(1, "tcp://localhost:1"), Crew(9, "tcp://localhost:1")):
        assert sum(kind.suits(crew) for kind in known_executors().values()) == 1


def test_answers_come_under_their_tickets(scene, crew):
    name = scene.network.source.name
    with open_executor(scene, crew) as executor:
        found = answers(executor, [(tasks.double, n) for n in range(20)])
    assert found == {(0, n): (name, 2 * n) for n in range(20)}


def test_an_exception_of_a_task_is_raised_to_whoever_waits(scene, crew):
    with open_executor(scene, crew) as executor, pytest.raises(RefusedError, match="no such"):
        answers(executor, [(tasks.refuse,)])


def test_a_task_that_finds_no_memory_is_computed_here(scene, crew):
    with open_executor(scene, crew) as executor:
        found = answers(executor, [(tasks.need_memory_elsewhere, os.getpid())] * 3)
    assert set(found.values()) == {os.getpid()}


def test_nothing_keeps_running(scene, crew):
    before = children()
    with open_executor(scene, crew) as executor:
        answers(executor, [(tasks.sleep, 0.01)] * 4)
        executor.submit((1, 0), Task(tasks.sleep, (0.5,), 0.5))
    assert children() == before


@pytest.fixture
def started(scene, monkeypatch):
    """A pool whose two processes are ready."""
    monkeypatch.setattr(pool, "_WORTH_A_START", 0.0)
    with open_executor(scene, Crew(2)) as executor:
        seen = {os.getpid()}
        for _ in range(300):
            seen |= set(answers(executor, [(tasks.process, 0.05)] * 2).values())
            if len(seen) == 3:
                break
        assert len(seen) == 3, "the workers have not become ready"
        yield executor


def test_a_pool_computes_in_its_processes(started):
    found = set(answers(started, [(tasks.process, 0.0)] * 8).values())
    assert os.getpid() not in found
    assert found <= {child.pid for child in children()}


def test_waiting_ends_when_the_time_is_over(started):
    started.submit((0, 0), Task(tasks.sleep, (30.0,), 30.0))
    assert started.receive(0.05) is None


def test_a_lost_task_is_computed_by_another_process(started, tmp_path):
    # The other process is busy meanwhile, so this one is not needed.
    found = answers(started, [(tasks.die_once, str(tmp_path / "trace")), (tasks.sleep, 1.0)])
    assert found == {(0, 0): "done", (0, 1): 1.0}
    assert (tmp_path / "trace").exists()


def test_a_task_that_kills_its_processes_is_computed_here(started):
    found = answers(started, [(tasks.die_elsewhere, os.getpid()), (tasks.double, 4)])
    assert found[0, 0] == os.getpid()
    assert found[0, 1][1] == 8


def test_small_work_starts_no_process(scene):
    before = children()
    with open_executor(scene, Crew(4)) as executor:
        found = answers(executor, [(tasks.process, 0.0)] * 5)
        assert children() == before
    assert set(found.values()) == {os.getpid()}


def test_a_silent_scheduler_is_named(scene, monkeypatch):
    monkeypatch.setattr(dask, "_SECONDS_TO_ANSWER", 0.2)
    with (
        pytest.raises(MissingToolError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"),
        open_executor(scene, Crew(1, "tcp://127.0.0.1:9")),
    ):
        pass


def test_a_missing_extra_is_named(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingToolError) as problem, open_executor(scene, Crew(1, "tcp://h:1")):
        pass
    assert "pip install '.[cluster]' in the checkout" in problem.value.fix
