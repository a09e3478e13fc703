"""Contracts without logic: recipe models, Arrow schemas, error codes, SQL views. Imports nothing of the project."""
