"""What a run would do: inputs, columns, steps and their fingerprints, and an estimate of the cost."""
