"""Pages for people: the report of a run. Sources of the front end lie in source/, what they are built into in assets/.

May import charts and what stands below. Documents reach a page as data only, never as markup."""
