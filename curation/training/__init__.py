"""Small heads trained from labels. Imports numpy and scipy."""
