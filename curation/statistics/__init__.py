"""Statistics that several rooms need: metrics with intervals, ensembles of ranks."""
