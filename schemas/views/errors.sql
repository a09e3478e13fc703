-- What could not be processed in the chosen run: documents that errored, and shards that failed in its last attempt.
CREATE VIEW errors AS
SELECT 'document' AS kind, doc_id, id, path, row, dropped_by AS stage, NULL AS code, reason AS message
FROM documents WHERE outcome = 'errored'
UNION ALL
SELECT 'shard', NULL, NULL, path, NULL, step, code, message FROM _failures
WHERE run = $run AND attempt = (SELECT max(attempt) FROM _attempts WHERE run = $run);
