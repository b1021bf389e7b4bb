"""The trusted kernel: what a certificate says, and the exact check that makes it `Proven`."""
