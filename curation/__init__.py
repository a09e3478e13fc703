"""The library, no Ray: documents in, columns and decisions out. Imports schemas only."""

from curation_engine_start import refuse_others

refuse_others("schemas")
