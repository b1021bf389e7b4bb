"""Links to a device: one module each, found by folder."""
