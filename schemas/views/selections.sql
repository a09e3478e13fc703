-- What each selection of the run chose, beside as many documents by chance and the longest ones.
CREATE VIEW selections AS
SELECT s.stage, s.kind, (g.report->>'$$.documents')::BIGINT AS documents, (g.report->>'$$.selected')::BIGINT AS selected,
       (g.report->>'$$.chance')::DOUBLE AS chance,
       (g.report->>'$$.baselines.random.overlap')::DOUBLE AS overlap_random,
       (g.report->>'$$.baselines.longest.overlap')::DOUBLE AS overlap_longest,
       (g.report->>'$$.baselines.longest.spearman')::DOUBLE AS spearman_length,
       (g.report->>'$$.shift')::DOUBLE AS shift,
       (g.report->>'$$.coverage.selected.radius')::DOUBLE AS radius,
       g.report->>'$$.facts.guarantee' AS guarantee
FROM _stages s JOIN _barriers b USING (run, stage) JOIN _groups g ON g."group" = b."group"
WHERE s.run = $run AND s.family = 'select' AND g.report IS NOT NULL
ORDER BY s.position;
