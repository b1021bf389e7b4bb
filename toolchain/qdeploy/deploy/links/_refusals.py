"""Why a port cannot be opened, in words, and what to do about it."""

import errno
import termios

from qdeploy.deploy._protocol import PortError
from qdeploy.deploy.links._ports import attached_ports

_NAME_ONE = "name a serial port such as /dev/ttyACM0, or socket://HOST:PORT"
_LOCAL = {
    errno.ENOENT: ("is not there", "plug the board in and name its port"),
    errno.ENXIO: ("has no device behind it", "plug the board in and name its port"),
    errno.EACCES: (
        "may not be opened by this user",
        "have yourself added to the group that owns it (ls -l names it, dialout as a rule) and log "
        "in again",
    ),
    errno.EPERM: ("may not be opened by this user", "ask who runs this computer for it"),
    errno.EAGAIN: ("is in use by another program", "close that: a terminal, a debugger, a test"),
    errno.EBUSY: ("is in use by another program", "close that: a terminal, a debugger, a test"),
    errno.ENOTTY: ("is no serial port", _NAME_ONE),
    errno.EISDIR: ("is a folder", _NAME_ONE),
    errno.EINVAL: ("does not take this baud rate", "set a usual rate as baud in [uart]"),
}
_REMOTE = {
    errno.ECONNREFUSED: "has nobody behind it: the connection is refused",
    errno.ETIMEDOUT: "does not answer in time",
    errno.EHOSTUNREACH: "cannot be reached",
    errno.ENETUNREACH: "cannot be reached",
}


def refused(address: str, error: Exception) -> PortError:
    """Say why a port cannot be opened."""
    number, words = _reason(error)
    if "://" in address:
        what = _REMOTE.get(number, f"cannot be reached: {words}" if number else "is no address")
        fix = "name a server as socket://HOST:PORT or rfc2217://HOST:PORT, and start it first"
        return PortError(f"the port {address} {what}", fix=fix)
    what, fix = _LOCAL.get(number, (f"cannot be opened: {words or error}", _NAME_ONE))
    return PortError(f"the port {address} {what}", fix=fix + _others(number))


def _reason(error: BaseException) -> tuple[int, str]:
    """Return the system's error number and words; 0 where it was not even asked.

    pyserial keeps some only in the exception before, and puts words of its own in their place.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            return seen.errno, (seen.strerror or "").lower()
        if isinstance(seen, termios.error):
            return int(seen.args[0]), str(seen.args[1]).lower()
        if isinstance(seen, TimeoutError):
            return errno.ETIMEDOUT, "it does not answer in time"
        seen = seen.__cause__ or seen.__context__
    return 0, ""


def _others(number: int) -> str:
    """Name the ports there are, where the one that was named is not."""
    if number not in (errno.ENOENT, errno.ENXIO):
        return ""
    names = [port.device for port in attached_ports()]
    return f"; there are {', '.join(names)}" if names else "; there is none now"
