"""What pages draw of a run (`schemas.charts`), from its manifest and decisions: a file a chart, none writes.

with OpenRun(manifest, run) as opened:
    histogram(opened, "gopher.words")
"""
