"""Emulators of whole boards: one module each, found by folder."""
