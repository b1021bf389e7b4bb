"""Cores, deaths, clocks and people change when a certificate is there, never what it says."""

import itertools
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest, Crew
from qdeploy.certifier.executors import pool
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest
from support.controller import command, write_dense_chain
from support.networks import build_network, paper_network

PENDULUM = Path(__file__).parents[2] / "examples" / "pendulum"


def unit_box(inputs: int) -> Box:
    return Box((Fraction(-1),) * inputs, (Fraction(1),) * inputs)


def wide_network(seed: int) -> Network:
    """Three inputs and two outputs: cones, trees and a 2-norm."""
    rng = np.random.default_rng(seed)
    steps = []
    for n_in, n_out in ((3, 6), (6, 5), (5, 2)):
        weight = (rng.normal(size=(n_out, n_in)) / n_in**0.5).astype(np.float32)
        steps += [(weight, rng.normal(size=n_out).astype(np.float32) / 4), "relu"]
    return build_network(3, steps[:-1])


ALONE = Crew(1)
Case = tuple[Network, FixedNetwork, tuple[Box, ...]]


def case(network: Network, bits: int = 8, regions: int = 1) -> Case:
    box = unit_box(network.inputs[0].size)
    edges = [Fraction(k * 2, regions) - 1 for k in range(regions + 1)]
    boxes = tuple(Box((edges[k], *box.lo[1:]), (edges[k + 1], *box.hi[1:])) for k in range(regions))
    return network, quantize.run(network, QuantizeRequest(boxes, bits=bits)), boxes


def certificate(of: Case, crew: Crew = ALONE, **spend: float) -> bytes:
    request = CertifyRequest(**spend, attack_budget=2000)
    return proof.write(proof.attest(certifier.run(*of, request, crew=crew)))


@pytest.fixture
def eager_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes at once, and leave everything to them that none has died of."""

    def job_for_here(self: pool._Pool) -> object:
        return self._for_here.popleft() if self._for_here else None

    monkeypatch.setattr(pool, "_WORTH_A_START", 0.0)
    monkeypatch.setattr(pool._Pool, "_job_for_here", job_for_here)


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kill a worker that has just got a task, again and again; list the victims."""
    told, tasks, victims = pool._told, itertools.count(), []

    def tell(worker: pool._Worker, message: bytes) -> bool:
        heard = told(worker, message)
        if worker.ready and next(tasks) % 7 == 2 and len(victims) < 3:
            worker.process.kill()
            victims.append(worker.process.pid)
        return heard

    monkeypatch.setattr(pool, "_told", tell)
    return victims


CASES = {
    "cones and trees": (case(wide_network(3)), 1.5),
    "one input": (case(paper_network(4, 2), bits=12), 0.7),
    "four regions": (case(wide_network(5), regions=4), 1.5),
}


@pytest.mark.usefixtures("eager_pool")
@pytest.mark.parametrize("name", CASES)
def test_the_certificate_is_the_same_for_any_jobs(name: str) -> None:
    of, work = CASES[name]
    alone = certificate(of, work=work)
    assert proof.check(of[0], proof.read(alone).certificate)
    assert certificate(of, Crew(2), work=work) == alone


@pytest.mark.usefixtures("eager_pool")
def test_the_certificate_is_the_same_whoever_dies(deaths: list[int]) -> None:
    of, work = CASES["cones and trees"]
    assert certificate(of, Crew(2), work=work) == certificate(of, work=work)
    assert len(deaths) == 3


BUDGETS = (0.0, 0.02, 0.1, 0.4, 1.5)


@pytest.mark.parametrize("name", CASES)
def test_more_work_never_gives_a_larger_bound(name: str) -> None:
    of, _ = CASES[name]
    bounds = []
    for work in BUDGETS:
        claims = proof.read(certificate(of, work=work)).certificate.regions
        bounds.append([claim.linf for claim in claims])
    for less, more in itertools.pairwise(bounds):
        assert all(b <= a for a, b in zip(less, more, strict=True))
    assert sum(bounds[-1]) < sum(bounds[0])


def test_the_work_is_recorded_and_the_clock_is_not() -> None:
    of, _ = CASES["one input"]
    assert proof.read(certificate(of, work=0.5)).certificate.work == 0.5
    assert proof.read(certificate(of)).certificate.work == certifier.DEFAULT_WORK
    for limits in ({"time_limit": 0.3}, {"time_limit": 0.3, "work": 1000.0}):
        assert proof.read(certificate(of, **limits)).certificate.work is None


def test_work_within_a_time_that_suffices_is_as_good_as_without_one() -> None:
    of, work = CASES["four regions"]
    assert certificate(of, work=work / 4, time_limit=600.0) == certificate(of, work=work / 4)


def test_a_clock_that_strikes_at_once_leaves_the_first_bounds() -> None:
    of, _ = CASES["four regions"]
    found = proof.read(certificate(of, time_limit=1e-6)).certificate
    assert len(found.regions) == 4
    assert proof.check(of[0], found)
    (first, *_), (free, *_) = (
        found.regions,
        proof.read(certificate(of, work=0.0)).certificate.regions,
    )
    assert first.linf == free.linf


@pytest.mark.usefixtures("eager_pool")
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_clock_cuts_short_checks(jobs: int) -> None:
    of, _ = CASES["cones and trees"]
    found = proof.read(certificate(of, Crew(jobs), time_limit=1.5)).certificate
    (proven,) = proof.check(of[0], found)
    assert proven.linf <= proof.read(certificate(of, work=0.0)).certificate.regions[0].linf


def test_only_parts_that_add_something_carry_their_data() -> None:
    of, work = CASES["cones and trees"]
    (claim,) = proof.read(certificate(of, work=work)).certificate.regions
    carriers = [part for part in claim.parts if part.data is not None]
    assert carriers
    for part in carriers:
        others = [other for other in claim.parts if other is not part]
        rest = proof.kernel.combine(claim.box, others, claim.attack)
        assert (rest.per_output, rest.l2) != (claim.per_output, claim.l2)


# --- people and the machine ------------------------------------------------------------------


def long_search(folder: Path, *options: str) -> list[str]:
    model, box = PENDULUM / "pendulum.onnx", PENDULUM / "box.json"
    spend = ("--work", "100000", "--bits", "12", *options)
    return command("certify", model, "--inputs", box, "-o", folder / "c.json", *spend)


def stop(line: list[str], number: int, jobs_left: list[psutil.Process]) -> tuple[int, str, str]:
    """Start a process and send it a signal, ever later until it had time to find something."""
    for seconds in (3.0, 8.0, 20.0, 60.0):
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(seconds)
        jobs_left[:] = psutil.Process(process.pid).children()
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)
        if "holds the best" in errors:
            break
    return process.returncode, said, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_leaves_the_best_certificate_so_far(
    number: int, tmp_path: Path
) -> None:
    workers: list[psutil.Process] = []
    code, said, errors = stop(long_search(tmp_path, "--jobs", "2"), number, workers)
    assert (code, said) == (130, "")
    assert "Traceback" not in errors
    assert errors.startswith("error: interrupted; ")
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]
    stated = proof.read((tmp_path / "c.json").read_bytes()).certificate
    assert f"|deviation| <= {stated.regions[0].linf}" in errors
    assert stated.work is None
    line = command("verify", tmp_path / "c.json", "--model", PENDULUM / "pendulum.onnx")
    assert subprocess.run(line, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.3, 0.45, 0.6])
def test_interrupted_before_there_is_a_bound_writes_nothing(seconds: float, tmp_path: Path) -> None:
    process = subprocess.Popen(long_search(tmp_path), stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)  # the latter before Python listens
    if process.returncode == 130:
        assert errors.strip() in ("", "error: interrupted")  # the former while importing
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_an_import_began_can_be_interrupted(tmp_path: Path) -> None:
    arguments = long_search(Path())[3:]
    (tmp_path / "script.py").write_text(
        f"import sys\nfrom qdeploy.cli import main\nsys.exit(main({list(map(str, arguments))}))\n"
    )
    line = [sys.executable, "-c", "import script"]
    process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "Traceback" not in errors


def test_a_killed_search_leaves_the_earlier_certificate_and_no_process(tmp_path: Path) -> None:
    earlier = certificate(CASES["one input"][0], work=0.0)
    (tmp_path / "c.json").write_bytes(earlier)
    process = subprocess.Popen(long_search(tmp_path, "--jobs", "2"), stderr=subprocess.DEVNULL)
    workers = wait_for_children(process)
    process.kill()
    process.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]
    assert (tmp_path / "c.json").read_bytes() == earlier
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


def wait_for_children(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    for _ in range(1200):
        found = psutil.Process(process.pid).children()
        if len(found) == 2:
            return found
        time.sleep(0.05)
    pytest.fail("no workers were started")


LIMIT = """
import resource, sys
import qdeploy.pipeline
from qdeploy.certifier.solvers import known_solvers
from qdeploy.cli import main
known_solvers()  # what is loaded later could not be loaded
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (60 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to this limit")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_memory_limit_is_a_clear_error_and_no_half_file(tmp_path: Path, jobs: str) -> None:
    model = write_dense_chain(tmp_path / "wide.onnx", (30, 250, 250, 2))
    line = [sys.executable, "-c", LIMIT, "certify", str(model), "--inputs=-1:1", "--jobs", jobs]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [*line, "-o", str(tmp_path / "c.json")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 5, run.stderr
    assert run.stderr.startswith("error: there is not enough memory")
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wide.onnx"]
