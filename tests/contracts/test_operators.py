"""Every operator has its C side: a contract, an algorithm, and a template of two macros."""

import pytest
from qdeploy.generate._environment import environment
from qdeploy.ops import Kernel, Op, known_ops
from qdeploy.resources import folder
from support.networks import random_network
from support.programs import random_program

OPS = sorted(known_ops())


@pytest.fixture(scope="module")
def nodes():
    """Nodes of random programs, by operator."""
    found = {}
    drawn = [random_program(s, activated=a) for a in (False, True) for s in range(60 + 60 * a)]
    for program in drawn:
        for node in program.nodes:
            found.setdefault(node.op, []).append((node, program))
    return found


@pytest.mark.parametrize("op", OPS)
def test_an_operator_satisfies_the_protocol(op):
    assert isinstance(known_ops()[op], Op)


@pytest.mark.parametrize("op", OPS)
def test_the_random_programs_draw_it(op, nodes):
    assert len(nodes.get(op, [])) > 10


@pytest.mark.parametrize("op", OPS)
def test_so_do_the_random_networks(op):
    drawn = [random_network(seed, activated=True) for seed in range(60)]
    assert sum(node.op == op for network in drawn for node in network.nodes) > 5


@pytest.mark.parametrize("op", OPS)
def test_it_names_a_kernel_the_runtime_has(op, nodes):
    include = folder("firmware") / "include"
    for node, program in nodes[op]:
        values = known_ops()[op].c_values(node, program)
        kernel = values["kernel"]
        assert isinstance(kernel, Kernel)
        assert isinstance(values["table_bytes"], int)
        header = (include / kernel.header).read_text()
        body = (include / kernel.body).read_text()
        assert f"#define {kernel.declaration.split('(')[0]}(" in header
        assert all(f"#undef {macro}\n" in body for macro, _ in kernel.parameters)


@pytest.mark.parametrize("op", OPS)
def test_its_template_prints_tables_and_one_call(op, nodes):
    node, program = nodes[op][0]
    values = known_ops()[op].c_values(node, program)
    macros = environment().get_template(f"ops/{op}.c.j2").module
    call = macros.call("some_node", values, "from_here", "to_there")
    assert call.startswith(values["kernel"].name + "(")
    assert "from_here" in call
    assert "to_there" in call
    assert call.count(";") == 1
    assert "\n" not in call
    tables = macros.tables("some_node", values)
    assert all("some_node" in line for line in tables.splitlines() if line.startswith("static "))
