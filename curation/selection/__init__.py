"""Global choices over scores. Imports nothing heavy."""
