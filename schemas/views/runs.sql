-- Runs: resolved plans. A run is done when its dataset is there.
CREATE VIEW runs AS
SELECT r.run, r.name,
       CASE WHEN d.run IS NOT NULL THEN 'done' ELSE coalesce(last_outcome, 'unfinished') END AS status,
       r.rows, c.kept, c.dropped, c.errored, r.sample, r.created_at, last_started_at, attempts,
       d.path AS dataset, r.recipe_path, r.recipe
FROM _runs r
LEFT JOIN _datasets d USING (run)
LEFT JOIN (SELECT run, sum(kept)::BIGINT AS kept, sum(dropped)::BIGINT AS dropped, sum(errored)::BIGINT AS errored
           FROM _decisions GROUP BY run) c USING (run)
LEFT JOIN (SELECT run, count(*) AS attempts, max(started_at) AS last_started_at,
                  arg_max_null(outcome, started_at) AS last_outcome
           FROM attempts GROUP BY run) a USING (run)
ORDER BY r.created_at;
