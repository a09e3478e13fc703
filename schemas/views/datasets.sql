-- Finished datasets.
CREATE VIEW datasets AS
SELECT name, run, path, files, rows, bytes, duplicate_ids, skipped_shards, created_at FROM _datasets ORDER BY created_at;
