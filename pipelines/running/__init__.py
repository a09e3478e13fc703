"""Runs: the loop over units, what they record, and the care of a workspace."""
