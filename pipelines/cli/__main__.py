"""`python -m pipelines.cli` is `curate`."""

from pipelines.cli.main import main

main()
