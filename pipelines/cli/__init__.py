"""The command line: parses, calls the workspace, prints."""
