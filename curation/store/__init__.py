"""The one seam to storage: whole files appear at once, and a commit has exactly one winner."""

from curation.store.base import DAMAGED, TEMPORARY, Entry, Store, Written
from curation.store.failures import NoBucketError, StoreError
from curation.store.local import LocalStore, digest, new_folder, sync
from curation.store.open import local_copy, open_store
from curation.store.remote import is_url
from curation.store.seal import DamagedFileError

__all__ = [
    "DAMAGED",
    "TEMPORARY",
    "DamagedFileError",
    "Entry",
    "LocalStore",
    "NoBucketError",
    "Store",
    "StoreError",
    "Written",
    "digest",
    "is_url",
    "local_copy",
    "new_folder",
    "open_store",
    "sync",
]
