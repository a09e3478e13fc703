"""Executors of a plan: in this process, or on Ray. Imports curation."""
