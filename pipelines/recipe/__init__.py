"""A recipe: read, checked, and packed with what it needs."""
