"""Duplicates as numbers: candidates, components, keepers, shared grams, groups. No stage lives here."""
