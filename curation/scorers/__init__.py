"""Scorers, one file a kind: pure functions from documents to columns. May import curation.text, .rules, .models."""
