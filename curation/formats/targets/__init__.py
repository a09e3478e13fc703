"""What trainers read: instruction and preference rows as their files, one trainer a file."""
