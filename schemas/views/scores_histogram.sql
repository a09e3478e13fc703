-- Every numeric measurement of the chosen run in 20 equal bins, and how many of each bin were kept.
CREATE VIEW scores_histogram AS
WITH measured AS ($measured),
bounds AS (SELECT stage, field, min(value) AS low, max(value) AS high FROM measured GROUP BY stage, field),
binned AS (
    SELECT stage, field, kept, low, (high - low) / 20 AS width,
           least(19, CASE WHEN high > low THEN floor((value - low) / (high - low) * 20) ELSE 0 END)::INTEGER AS bin
    FROM measured JOIN bounds USING (stage, field)
)
SELECT stage, field, bin, low + bin * width AS bin_from, low + (bin + 1) * width AS bin_to,
       count(*) AS documents, count(*) FILTER (kept) AS kept
FROM binned GROUP BY ALL ORDER BY stage, field, bin;
