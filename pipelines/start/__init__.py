"""First steps with data that nobody has described yet: a recipe for it, a run of that, facts ahead of it, a preview.
Imports the workspace and whatever stands below it."""
