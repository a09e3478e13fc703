"""The flow: score, enter, pair, resolve, decide, write. Each file is one unit of work that commits once, or never."""

from curation.flow.perform import Failure, Outcome, perform, system_failure

__all__ = ["Failure", "Outcome", "perform", "system_failure"]
