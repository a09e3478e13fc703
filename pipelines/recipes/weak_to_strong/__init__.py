"""Weak-to-strong specifications to begin with: `curate recipes weak-to-strong/NAME` prints one."""
