"""Names a user may give a library: what C, C++, file systems and build tools all take."""

from qdeploy.ir.network import IDENTIFIER

LONGEST = 31

_KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while
"""
_HEADERS = """
assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar
wchar wctype
"""
_TARGETS = """
all all_build clean edit_cache help install list_install_components package package_source
preinstall rebuild_cache run_tests test zero_check
"""
_KEPT = (
    (frozenset(_KEYWORDS.split()), "is a keyword of C"),
    (frozenset(_HEADERS.split()), "is the name of a header of C"),
    (frozenset(_TARGETS.split()), "is a target that CMake keeps for itself"),
)


def name_fault(name: str) -> str:
    """Say why a library cannot have a name; nothing where it can."""
    if len(name) > LONGEST or IDENTIFIER.fullmatch(name) is None:
        return f"is no C identifier that begins with a letter and has at most {LONGEST} signs"
    if "__" in name or name.endswith("_"):
        return "has two underscores in a row, or one at its end, which C++ keeps for itself"
    low = name.lower()
    if low == "qd" or low.startswith("qd_"):
        return "begins like the names of qdeploy's runtime"
    return next((why for words, why in _KEPT if low in words), "")
