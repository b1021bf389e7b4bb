"""How scenes, tasks and answers travel to processes of our own: as pickles.

Pickles are programs: they go only to workers that this process or its user has started.
"""

import io
import pickle
import struct
import traceback
from types import MappingProxyType
from typing import Any, BinaryIO

from qdeploy.certifier.tasks import Scene, Task, perform
from qdeploy.ir import FixedNetwork, Network

_LENGTH = struct.Struct("<Q")


def _read_only(items: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(items)


class _Pickler(pickle.Pickler):
    """Knows read-only mappings, of which networks have some."""

    def reducer_override(self, value: object) -> Any:  # noqa: ANN401  as pickle has it
        if type(value) is MappingProxyType:
            return _read_only, (dict(value),)
        return NotImplemented


def dumps(value: object) -> bytes:
    """Return a value as bytes."""
    stream = io.BytesIO()
    _Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def loads(data: bytes) -> Any:  # noqa: ANN401  whatever was sent
    """Return the value of bytes that our own side wrote."""
    return pickle.loads(data)


def dump_scene(scene: Scene) -> bytes:
    """Return what a scene is made of."""
    return dumps((scene.network, scene.program))


def load_scene(data: bytes) -> Scene:
    """Make the scene again."""
    made: tuple[Network, FixedNetwork] = loads(data)
    return Scene(*made)


class Lost(Exception):  # noqa: N818  no error: the answer is only not here
    """Nobody can say what the answer is; it has to be computed elsewhere."""


def answer_of(scene: Scene, data: bytes) -> bytes:
    """Compute a task and return what became of it."""
    task: Task = loads(data)
    try:
        return dumps((True, perform(scene, task)))
    except Exception as problem:  # noqa: BLE001  it is raised again where somebody waits for the answer
        problem.add_note("".join(traceback.format_exception(problem)))
        return dumps((False, problem))


def read_answer(data: bytes) -> Any:  # noqa: ANN401  each task has its own
    """Return a task's answer, or raise what it raised.

    Raises:
        Lost: that process had too little memory; another one may have more.
    """
    good, answer = loads(data)
    if good:
        return answer
    if isinstance(answer, MemoryError):
        raise Lost from answer
    raise answer


def send(stream: BinaryIO, message: bytes) -> None:
    """Write a message into a pipe."""
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


def receive(stream: BinaryIO) -> bytes | None:
    """Read a message from a pipe; None if the other side is gone, even amid a message."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    return message if len(message) == length else None
