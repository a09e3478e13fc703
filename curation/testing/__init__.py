"""For whoever writes a scorer or a transform: the nine checks that each of ours goes through, C1 to C9.

Needs no test runner: a check that fails raises AssertionError, which says which, of what document, and what is asked.

>>> from curation.testing import check_scorer
>>> check_scorer(
...     Shouting,  # share of characters that are capital letters
...     {},
...     [{"text": text} for text in ("HELLO you", "hello you", "HELLO YOU", "Hello, you.")],
...     oracle=lambda document: sum("A" <= letter <= "Z" for letter in document["text"]) / len(document["text"]),
... )
('C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7', 'C8', 'C9')
"""

from curation.testing.scorer import check_scorer

__all__ = ["check_scorer"]
