"""Where documents come from: finding files, knowing them by content, cutting them into shards, reading batches."""

from curation.sources.bundles import AnyShard, Bundle, hash_rows
from curation.sources.files import SourceFile, inspect, stamp
from curation.sources.find import find
from curation.sources.reading import Batch, read_batches, verify_unchanged
from curation.sources.shards import Shard, cut_shards, scramble

__all__ = [
    "AnyShard",
    "Batch",
    "Bundle",
    "Shard",
    "SourceFile",
    "cut_shards",
    "find",
    "hash_rows",
    "inspect",
    "read_batches",
    "scramble",
    "stamp",
    "verify_unchanged",
]
