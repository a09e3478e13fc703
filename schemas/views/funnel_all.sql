-- The funnel of every run; `funnel` shows the chosen one. Of a dedup, `loss` is the mean share of a dropped duplicate's
-- word 3-grams that no document of its cluster which stays has, and `lost` the sum: as much as so many documents.
CREATE VIEW _funnel AS
WITH ended AS (
    SELECT run, t.stage AS stage,
           coalesce(sum(t.rows) FILTER (t.outcome = 'dropped'), 0)::BIGINT AS dropped,
           coalesce(sum(t.rows) FILTER (t.outcome = 'errored'), 0)::BIGINT AS errored
    FROM (SELECT run, unnest(tally) AS t FROM _decisions) WHERE t.stage IS NOT NULL GROUP BY ALL
), total AS (
    SELECT run, sum(rows)::BIGINT AS rows, bool_and(lost IS NOT NULL) AS measured FROM _decisions GROUP BY run
), lost AS (
    SELECT run, t.stage AS stage, sum(t.rows)::BIGINT AS duplicates, sum(t.loss) AS lost
    FROM (SELECT run, unnest(lost) AS t FROM _decisions) WHERE t.stage IS NOT NULL GROUP BY ALL
), flow AS (
    SELECT s.run, s.position, s.stage, s.kind, s.keep, total.rows, l.duplicates,
           CASE WHEN s.family = 'dedup' AND total.measured THEN coalesce(l.lost, 0.0) END AS lost,
           coalesce(e.dropped, 0) AS dropped, coalesce(e.errored, 0) AS errored,
           sum(coalesce(e.dropped, 0) + coalesce(e.errored, 0)) OVER (PARTITION BY s.run ORDER BY s.position)::BIGINT AS gone
    FROM _stages s JOIN total USING (run) LEFT JOIN ended e USING (run, stage) LEFT JOIN lost l USING (run, stage)
)
SELECT run, position, stage, kind, rows - gone + dropped + errored AS rows_in, dropped, errored, rows - gone AS rows_out,
       round((rows - gone) / nullif(rows, 0), 4) AS share_left, round(lost / nullif(duplicates, 0), 4) AS loss,
       round(lost, 2) AS lost, keep
FROM flow ORDER BY run, position;
