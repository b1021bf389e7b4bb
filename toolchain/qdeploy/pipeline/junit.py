"""A verdict as JUnit XML: one test case a promise."""

from xml.etree.ElementTree import Element, SubElement, tostring

from qdeploy.ir import Verdict


def junit_bytes(name: str, verdict: Verdict) -> bytes:
    """Return the XML of one suite called `name`."""
    cases = [("every output equals the program bit for bit", verdict.bit_exact)]
    if verdict.within_bound is not None:
        cases.append(("every deviation is within the proven bound", verdict.within_bound))
    failures = sum(not passed for _, passed in cases)
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    root = Element("testsuites", counts)
    suite = SubElement(root, "testsuite", {"name": f"qdeploy {name}", **counts})
    for title, passed in cases:
        case = SubElement(suite, "testcase", {"classname": f"qdeploy.{name}", "name": title})
        if not passed:
            SubElement(case, "failure", {"message": _message(verdict)})
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _message(verdict: Verdict) -> str:
    return verdict.first_difference or f"largest deviation {verdict.max_deviation!r}"
