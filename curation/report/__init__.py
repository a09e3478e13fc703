"""What people read after a run: dataset card."""
