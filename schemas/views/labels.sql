-- Labels of every weak-to-strong run and seed; `hard_label` is NULL where all supervisors abstain.
CREATE VIEW labels AS
SELECT l.run, l.seed, (f.file_no << 32) | l.row AS doc_id, f.path, l.* EXCLUDE (run, seed, file)
FROM ($labels) l JOIN _weak_files f ON f.run = l.run AND f.file = l.file;
