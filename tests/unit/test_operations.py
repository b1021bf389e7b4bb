"""What a check may take: one account over all that a certificate asks for, whoever reads it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import qdeploy
from qdeploy import importer, proof
from qdeploy.cli import main
from qdeploy.diagnostics import RefusedError, UsageError
from qdeploy.fixedpoint import integers_only, products
from qdeploy.proof import budget, dyadic
from support.controller import write_controller, write_dense_chain

FEW = 1000
SAID = "checking this would take more than 1e+03 operations"
FIX = "allow more with --operations"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build of a small network, cut into pieces: (folder, model)."""
    place = tmp_path_factory.mktemp("operations")
    model = write_controller(place / "model.onnx")
    qdeploy.build(model, inputs="-1:1", board="host", output=place / "out", work=0.2)
    return place / "out", model


@pytest.fixture(scope="module")
def claimed(built):
    """The network and its certificate."""
    folder, model = built
    content = (folder / "certificate.json").read_bytes()
    return importer.run(model), proof.read(content).certificate


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A certificate of 60 regions, whose sums are worth forming in double precision."""
    place = tmp_path_factory.mktemp("wide")
    model, made = write_dense_chain(place / "m.onnx", (10, 60, 60, 2)), place / "c.json"
    np.savez(place / "x.npz", x=np.random.default_rng(0).uniform(-1, 1, (60, 10)))
    inputs = f"data:{place / 'x.npz'}:0.01"
    qdeploy.certify(model, inputs=inputs, bits=12, work=1.0, jobs=1, output=made)
    return made, model


def spent(monkeypatch, network, certificate):
    """Return all that a check pays for: (place, operations)."""
    paid, charge = [], budget.Budget.charge

    def recorded(account, operations, place):
        paid.append((place, operations))
        charge(account, operations, place)

    with monkeypatch.context() as patched:
        patched.setattr(budget.Budget, "charge", recorded)
        proof.check(network, certificate, None)
    return paid


# --- one account -----------------------------------------------------------------------------


def test_an_account_refuses_what_goes_beyond_it_and_says_who_asked():
    account = budget.Budget(10)
    account.charge(4, "region 0")
    account.charge(6, "region 1")
    with pytest.raises(RefusedError, match=r"^region 2, method split: .* more than 10 operations"):
        account.charge(1, "region 2, method split")


def test_an_account_without_a_limit_only_counts():
    account = budget.Budget(None)
    account.charge(10**30, "region 0")
    assert account.spent == 10**30


def test_all_regions_share_one_account(monkeypatch, claimed):
    """What suffices for either of two regions does not for both."""
    network, one = claimed
    two = replace(one, regions=(*one.regions, *one.regions))
    paid_for_one, paid_for_two = (
        sum(operations for _, operations in spent(monkeypatch, network, c)) for c in (one, two)
    )
    # Grids and program are shared.
    assert 1.5 * paid_for_one < paid_for_two <= 2 * paid_for_one
    between = (paid_for_one + paid_for_two) // 2
    assert len(proof.check(network, one, between)) == 1
    with pytest.raises(RefusedError, match="checking this would take more"):
        proof.check(network, two, between)


def test_exactly_what_is_asked_for_is_enough(monkeypatch, claimed):
    network, certificate = claimed
    asked = sum(operations for _, operations in spent(monkeypatch, network, certificate))
    assert proof.check(network, certificate, asked)
    with pytest.raises(RefusedError):
        proof.check(network, certificate, asked - 1)


def test_every_part_with_data_and_every_region_pays(monkeypatch, claimed):
    network, certificate = claimed
    paid = dict(spent(monkeypatch, network, certificate))
    (region,) = certificate.regions
    dear = [part.method for part in region.parts if part.data is not None]
    assert dear
    assert all(paid[f"region 0, method {method}"] > 0 for method in dear)
    assert paid["program"] > 0
    assert paid["region 0"] > 0


def test_what_goes_beyond_is_refused_before_it_is_begun(monkeypatch, claimed):
    network, certificate = claimed
    monkeypatch.setattr(proof.kernel, "prove_part", lambda *_: pytest.fail("it was begun"))
    with pytest.raises(RefusedError, match="checking this would take"):
        proof.check(network, certificate, FEW)


def test_regions_that_are_checked_together_are_paid_for_together(wide):
    made, model = wide
    assert qdeploy.verify(made, model=model)["verdict"] == "proven"
    refused = qdeploy.verify(made, model=model, operations=10_000_000)
    assert refused["verdict"] == "refused"
    assert refused["reason"].endswith(": checking this would take more than 1e+07 operations")


# --- whoever reads it ------------------------------------------------------------------------


def test_verify_says_no_and_names_what_would_take_more(built, capsys):
    line = ["verify", str(built[0]), "--operations", str(FEW)]
    assert main(line) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"refused: program: {SAID}")
    assert FIX in told
    assert main([*line, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said == {"verdict": "refused", "linf": None, "reason": f"program: {SAID}"}


@pytest.mark.parametrize(
    ("operations", "asks"),
    [(FEW, "program"), (2 * 10**6, "region 0"), (10**7, "region 0, method split")],
)
def test_what_would_take_more_is_named(built, operations, asks):
    reason = qdeploy.verify(built[0], operations=operations)["reason"]
    assert reason.startswith(f"{asks}: checking this would take more than {operations:.3g} ")


def test_enough_operations_change_nothing(built, capsys):
    answers = []
    for more in ([], ["--operations", str(10**15)]):
        assert main(["verify", str(built[0]), "--json", *more]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


def test_validate_says_no_before_the_device_runs(built, monkeypatch, capsys):
    monkeypatch.setattr("qdeploy.deploy.run", lambda *_, **__: pytest.fail("the device ran"))
    assert main(["validate", str(built[0]), "--operations", str(FEW)]) == 1
    told = capsys.readouterr().err
    assert SAID in told
    assert FIX in told


@pytest.mark.parametrize("command", ["verify", "validate"])
@pytest.mark.parametrize("count", ["0", "-5", "1e9", "many", ""])
def test_what_is_no_number_of_operations_is_a_usage_error(command, count, built, capsys):
    assert main([command, str(built[0]), "--operations", count]) == 2
    assert "--operations" in capsys.readouterr().err


def test_python_has_the_same_limit(built):
    folder, _ = built
    assert qdeploy.verify(folder, operations=FEW)["reason"] == f"program: {SAID}"
    for refused in (qdeploy.validate, qdeploy.load):
        with pytest.raises(RefusedError, match="checking this would take"):
            refused(folder, operations=FEW)
    assert qdeploy.validate(folder, operations=10**12)["answer"] == "yes"
    assert qdeploy.load(folder, operations=10**12).bound is not None
    assert qdeploy.load(folder, operations=FEW, check=False).bound is None


@pytest.mark.parametrize("function", [qdeploy.verify, qdeploy.validate, qdeploy.load])
@pytest.mark.parametrize("count", [0, -5, "1000", 1.5, True, None])
def test_python_refuses_what_is_no_number_of_operations(function, count, built):
    with pytest.raises(UsageError, match="operations"):
        function(built[0], operations=count)


# --- integers only ---------------------------------------------------------------------------


@pytest.fixture
def doubles(monkeypatch):
    """Counts matrix products that are formed in double precision."""
    seen = []
    for name in ("product_in_doubles", "_product_in_doubles"):
        true = getattr(dyadic, name)

        def counted(left, right, true=true):
            seen.append(left.shape)
            return true(left, right)

        monkeypatch.setattr(dyadic, name, counted)
    return seen


def test_pure_prints_the_same_and_forms_nothing_in_doubles(wide, doubles, capsys):
    made, model = wide
    answers = []
    for pure in ([], ["--pure"]):
        assert main(["verify", str(made), "--model", str(model), "--json", *pure]) == 0
        answers.append(capsys.readouterr().out)
        doubles.append(None)
    assert answers[0] == answers[1]
    assert doubles.index(None) > 0
    assert doubles[doubles.index(None) :] == [None, None]


def test_pure_is_over_when_the_check_is(wide, built):
    made, model = wide
    assert qdeploy.verify(made, model=model, pure=True) == qdeploy.verify(made, model=model)
    refused = qdeploy.verify(built[0], pure=True, operations=FEW)
    assert refused["verdict"] == "refused"
    with integers_only():
        assert products._INTEGERS_ONLY.get()
    assert not products._INTEGERS_ONLY.get()


@pytest.mark.parametrize("pure", ["yes", 1, None])
def test_pure_is_a_truth_value(pure, built):
    with pytest.raises(UsageError, match="pure must be True or False"):
        qdeploy.verify(built[0], pure=pure)
