"""Caches: what nodes have returned before, to be found by their input. `base` is the contract."""
