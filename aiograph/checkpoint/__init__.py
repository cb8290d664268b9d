"""Savers: where the state of threads is kept. `base` is the contract; the other modules fulfil it."""
