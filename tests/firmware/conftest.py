"""Programs to compile: what the quantiser makes of random networks, and wilder ones."""

import pytest
from qdeploy import quantize
from support import batch
from support.networks import random_network, random_request
from support.programs import random_codes, random_program

NETWORKS = 300
WILD = 320
ACTIVATED_NETWORKS, ACTIVATED_WILD = 60, 160
VECTORS = 200


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """300 quantised random networks, 320 random programs, 220 with every activation."""
    made = [_quantised(seed) for seed in range(NETWORKS)]
    made += [random_program(seed) for seed in range(WILD)]
    made += [_quantised(seed, activated=True) for seed in range(ACTIVATED_NETWORKS)]
    made += [random_program(seed, activated=True) for seed in range(ACTIVATED_WILD)]
    cases = [batch.case(p, random_codes(p, VECTORS, seed)) for seed, p in enumerate(made)]
    return batch.write(cases, tmp_path_factory.mktemp("batch") / "sources")


def _quantised(seed, *, activated=False):
    network = random_network(seed, activated=activated)
    return quantize.run(network, random_request(seed, network))
