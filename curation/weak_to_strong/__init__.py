"""Soft labels from weak supervisors, and what a student gains by them. Imports numpy, scipy, numba; losses torch."""
