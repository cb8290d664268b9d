"""What helps to test graphs, savers and stores: real servers, contracts, a clock, a model with a script."""

from aiograph.testing.models import ScriptedModel

__all__ = ["ScriptedModel"]
