"""Weak-to-strong runs: from a specification to labels, a student, and what was gained."""
