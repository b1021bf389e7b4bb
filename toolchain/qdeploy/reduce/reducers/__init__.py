"""Reducers, one file each: what a network can do without."""
