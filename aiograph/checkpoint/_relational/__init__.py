"""Checkpoints in tables, whichever database keeps them: one saver over the database seam."""
