-- How many documents came to each stage, left it, or ended there.
CREATE VIEW funnel AS SELECT * EXCLUDE (run) FROM _funnel WHERE run = $run ORDER BY position;
