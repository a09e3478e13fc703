-- Documents that were sampled for audits of the chosen run, with what became of them and the label that was given by
-- hand: `good` is NULL where there is none. `stratum_reason` is NULL for what was kept, and where rare reasons of a stage
-- are one stratum; each document stands for `weight` documents of its stratum.
CREATE VIEW audits AS
WITH labels AS (
    SELECT doc_id, arg_max(good, number) AS good, arg_max_null(note, number) AS note,
           count(DISTINCT good) > 1 AS relabelled, arg_max(labelled_at, number) AS labelled_at
    FROM _audit_labels WHERE run = $run GROUP BY doc_id
)
SELECT a.audit, doc_id, d.id, d.path, d.row, d.kept, d.dropped_by, d.reason, _rule(d.reason) AS rule,
       a.reason AS stratum_reason, a.size AS stratum_documents, a.sampled AS stratum_sampled, a.size / a.sampled AS weight,
       l.good, l.note, l.relabelled, l.labelled_at
FROM _audits a JOIN documents d USING (doc_id) LEFT JOIN labels l USING (doc_id)
WHERE a.run = $run ORDER BY a.audit, a.place;
