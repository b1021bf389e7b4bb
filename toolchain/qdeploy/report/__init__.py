"""What a build tells people: two self-contained pages and the numbers printed in them."""

from qdeploy.report.pages import certificate_page, report_page
from qdeploy.report.values import Bound, Found, Material, RegionResult, Statement

__all__ = [
    "Bound",
    "Found",
    "Material",
    "RegionResult",
    "Statement",
    "certificate_page",
    "report_page",
]
