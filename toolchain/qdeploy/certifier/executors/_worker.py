"""A worker process: reads a scene and then tasks from its stdin, writes answers to its stdout.

It ends when its parent does: a thread of its own notices, even amid a long task.
"""

import os
import signal
import sys
import threading
from queue import SimpleQueue

from qdeploy.certifier.executors import _wire
from qdeploy.certifier.tasks import one_thread


def main() -> None:
    """Work until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not hit the answers
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    one_thread()
    scene = _wire.load_scene(inbox.get())
    _wire.send(answers, b"")
    while True:
        _wire.send(answers, _wire.answer_of(scene, inbox.get()))


def _listen(inbox: "SimpleQueue[bytes]") -> None:
    while (message := _wire.receive(sys.stdin.buffer)) is not None:
        inbox.put(message)
    os._exit(0)
