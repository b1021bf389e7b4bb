"""Which of a model's nodes are no part of its network, in words: for all that state something."""

from qdeploy.ir import Network


def cut_lines(network: Network, name: str = "cut") -> list[tuple[str, str]]:
    """Return a line that says so; none where nothing was cut."""
    return [(name, network.told_cut)] if network.cut else []
