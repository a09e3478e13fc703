"""Duplicate detection: exact, minhash, connected components. Imports curation.text."""
