-- Runs: resolved plans. A run is done when its dataset is there. `labels` are those that users gave it.
CREATE VIEW runs AS
SELECT r.run, r.name,
       CASE WHEN d.run IS NOT NULL THEN 'done' ELSE coalesce(last_outcome, 'unfinished') END AS status,
       r.rows, c.kept, c.dropped, c.errored, r.sample, r.created_at, last_started_at, attempts,
       d.path AS dataset, r.recipe_path, r.recipe, l.labels
FROM _runs r
LEFT JOIN _datasets d USING (run)
LEFT JOIN (SELECT run, sum(kept)::BIGINT AS kept, sum(dropped)::BIGINT AS dropped, sum(errored)::BIGINT AS errored
           FROM _decisions GROUP BY run) c USING (run)
LEFT JOIN (SELECT run, count(*) AS attempts, arg_max(started_at, place) AS last_started_at,
                  arg_max_null(outcome, place) AS last_outcome
           FROM (SELECT a.run, started_at, outcome, row_number() OVER (ORDER BY number NULLS FIRST, started_at) AS place
                 FROM _attempts a LEFT JOIN _ends USING (attempt)) GROUP BY run) a USING (run)
LEFT JOIN (SELECT run, string_agg(label, ', ' ORDER BY number) AS labels
           FROM (SELECT label, arg_max(run, number) AS run, max(number) AS number FROM _asked
                 WHERE label IS NOT NULL GROUP BY label) GROUP BY run) l USING (run)
ORDER BY r.created_at;
