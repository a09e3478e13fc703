-- What could not be processed in the chosen run: documents that errored, shards that failed in its last attempt, and
-- shards that it left out (`on_bad_shard: skip`).
CREATE VIEW errors AS
SELECT 'document' AS kind, doc_id, id, path, row, dropped_by AS stage, NULL AS code, reason AS message
FROM documents WHERE outcome = 'errored'
UNION ALL
SELECT 'shard', NULL, NULL, path, NULL, step, code, message FROM _failures
WHERE run = $run AND attempt = (SELECT attempt FROM _attempts WHERE run = $run
                                 ORDER BY number DESC NULLS LAST, started_at DESC LIMIT 1)
UNION ALL
SELECT 'shard', NULL, NULL, path, row_start, NULL, 'R001', error FROM _shards s
WHERE run = $run AND error IS NOT NULL AND EXISTS (FROM _decisions WHERE run = $run)
AND NOT EXISTS (FROM _failures f WHERE f.run = s.run AND f.shard = s.shard);
