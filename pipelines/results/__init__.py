"""What is asked of runs that were made: explain, show, audit, export."""
