"""A verdict as JUnit XML: one test case a promise; or why there is no verdict."""

from xml.etree.ElementTree import Element, SubElement, tostring

from qdeploy.diagnostics import QdeployError, visible
from qdeploy.ir import Verdict


def junit_bytes(name: str, verdict: Verdict) -> bytes:
    """Return the XML of one suite called `name`."""
    cases = [("every output equals the program bit for bit", verdict.bit_exact)]
    if verdict.within_bound is not None:
        cases.append(("every deviation is within the proven bound", verdict.within_bound))
    failures = sum(not passed for _, passed in cases)
    root, suite = _suite(name, tests=len(cases), failures=failures, errors=0)
    for title, passed in cases:
        case = _case(suite, name, title)
        if not passed:
            SubElement(case, "failure", {"message": _message(verdict)})
    return _bytes(root)


def junit_error_bytes(name: str, error: QdeployError) -> bytes:
    """Return the XML of a validation that came to no verdict: a rack must not see an older one."""
    root, suite = _suite(name, tests=1, failures=0, errors=1)
    case = _case(suite, name, "the device can be validated")
    SubElement(case, "error", {"message": _plain(error.what)}).text = str(error)
    return _bytes(root)


def _suite(name: str, **counts: int) -> tuple[Element, Element]:
    attributes = {key: str(count) for key, count in counts.items()}
    root = Element("testsuites", attributes)
    return root, SubElement(root, "testsuite", {"name": _plain(f"qdeploy {name}"), **attributes})


def _case(suite: Element, name: str, title: str) -> Element:
    return SubElement(suite, "testcase", {"classname": _plain(f"qdeploy.{name}"), "name": title})


def _bytes(root: Element) -> bytes:
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _message(verdict: Verdict) -> str:
    return _plain(verdict.first_difference or f"largest deviation {verdict.max_deviation!r}")


def _plain(words: str) -> str:
    """Return words without the characters that XML has no way to write."""
    return visible(words, keep="\n\t")
