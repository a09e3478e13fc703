"""Personally identifying information in text: where it stands, and edits after which none is left.

Text decides alone, nothing is asked of a model or the network. What counts as an e-mail address, a phone number, an IP
address, a card number, an IBAN or a secret, the module of that name says; `scan` looks for all of them at once, and
`redaction` puts something else in their place.
"""

from curation.rules.pii.redaction import EXAMPLES, TAGS, redact
from curation.rules.pii.scan import TYPES, VERSION, Spans, find

__all__ = ["EXAMPLES", "TAGS", "TYPES", "VERSION", "Spans", "find", "redact"]
