"""qdeploy: trained networks as fixed-point firmware, with a proof of how far the device deviates."""

__version__ = "0.1.0"
