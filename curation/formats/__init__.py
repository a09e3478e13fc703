"""How rows hold instruction data, and the columns that stages read of them, whatever the format."""
