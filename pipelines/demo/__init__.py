"""The first demo: a corpus from the user's own Python environment, and the first recipe to read. No download.

The second is `pipelines.demo_instructions`.
"""
