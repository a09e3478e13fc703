"""The flow: score, enter, pair, resolve, decide, write. Each file is one unit of work that commits once, or never."""

from curation.flow.faults import Failure, Outcome, system_failure
from curation.flow.perform import perform

__all__ = ["Failure", "Outcome", "perform", "system_failure"]
