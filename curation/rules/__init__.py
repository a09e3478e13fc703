"""Quality rules as named, versioned profiles, each with its paper. Imports curation.text."""

from curation.rules.profile import Profile, Rule, profiles, resolve

__all__ = ["Profile", "Rule", "profiles", "resolve"]
