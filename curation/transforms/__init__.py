"""Stages that edit text by spans, one file a kind. May import curation.text, .rules."""
