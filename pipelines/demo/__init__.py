"""The demo: a corpus from the user's own Python environment, and the first recipe to read. Nothing is downloaded."""
