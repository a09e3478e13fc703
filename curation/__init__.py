"""The library, no Ray: documents in, columns and decisions out. Imports schemas only."""
