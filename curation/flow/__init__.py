"""The flow: units of work that commit once, or never (fit, score, enter, pair, resolve, decide, write), and what they
share: documents as a stage sees them, decisions replayed, a file for each family of dataset-wide stages."""

from curation.flow.faults import Failure, Outcome, system_failure

__all__ = ["Failure", "Outcome", "system_failure"]
