"""Search for bounds and the data that prove them; only `qdeploy.proof` decides what holds."""

from qdeploy.certify.search import METHODS, CertifyRequest, run

__all__ = ["METHODS", "CertifyRequest", "run"]
