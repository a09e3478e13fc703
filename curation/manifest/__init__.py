"""What the workspace knows: commits, views, SQL access."""
