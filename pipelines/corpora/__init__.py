"""Corpora from what a Python environment holds: real text for demos, tutorials and their tests. No download.

Imports `curation` only; files are read and parsed, never imported or executed.
"""
