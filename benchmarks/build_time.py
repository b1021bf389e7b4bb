"""How long a build takes, from the model to validated firmware, split by stage.

    python benchmarks/build_time.py [MODEL.onnx BOX [BOARD]]

Prints one table; the first build of a process pays for imports and caches, so three are timed.
"""

import sys
import tempfile
from pathlib import Path

from qdeploy.pipeline import Options, Stopwatch, run_build

ROUNDS = 3
EXAMPLE = Path(__file__).parents[1] / "examples" / "pendulum"


def main(arguments: list[str]) -> None:
    """Build ROUNDS times and print seconds by stage."""
    model = arguments[0] if arguments else str(EXAMPLE / "pendulum.onnx")
    box = arguments[1] if len(arguments) > 1 else str(EXAMPLE / "box.json")
    board = arguments[2] if len(arguments) > 2 else "virtual-m4"
    rounds = [seconds(model, box, board) for _ in range(ROUNDS)]
    print(f"{'stage':<12}" + "".join(f"{f'build {i + 1}':>10}" for i in range(ROUNDS)))
    for stage in rounds[0]:
        print(f"{stage:<12}" + "".join(f"{r[stage]:>10.3f}" for r in rounds))


def seconds(model: str, box: str, board: str) -> dict[str, float]:
    """Return the seconds of each stage of one build, and their sum."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(model=Path(model), inputs=box, board=board, output=Path(folder) / "out")
        run_build(options, watch)
    return {**watch.seconds(), "total": watch.total()}


if __name__ == "__main__":
    main(sys.argv[1:])
