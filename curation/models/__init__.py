"""Locating, verifying and running small models. Imports torch and transformers lazily."""
