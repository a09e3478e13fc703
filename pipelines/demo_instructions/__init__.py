"""The second demo: pairs of question and answer from the standard library, chosen by a small language model.

The first is `pipelines.demo`.
"""
