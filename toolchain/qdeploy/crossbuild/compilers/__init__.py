"""Compilers: one module each, found by folder. The first of them in name order is the default."""
