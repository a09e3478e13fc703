-- Documents that were sampled for audits of the chosen run, with what became of them and the label that was given by
-- hand: `good` is NULL where there is none, and where whoever looked is `unsure`. `stratum_reason` is NULL for what was kept, and where rare reasons of a stage
-- are one stratum; each document stands for `weight` documents of its stratum.
CREATE VIEW audits AS
WITH given AS (
    SELECT doc_id, number, 'audit_labels' AS kind, good, note, labelled_at FROM _audit_labels WHERE run = $run
    UNION ALL
    SELECT doc_id, number, 'audit_marks', NULL, note, labelled_at FROM _audit_marks WHERE run = $run AND mark = 'unsure'
), labels AS (
    SELECT doc_id, arg_max_null(good, (number, kind)) AS good, arg_max_null(note, (number, kind)) AS note,
           count(DISTINCT good) > 1 AS relabelled, max(labelled_at) AS labelled_at,
           arg_max(kind = 'audit_marks', (number, kind)) AS unsure
    FROM given g ANTI JOIN (SELECT doc_id, undoes, "of" FROM _audit_marks WHERE run = $run AND mark = 'undone') u
         ON g.doc_id = u.doc_id AND g.number = u.undoes AND g.kind = u."of"
    GROUP BY doc_id
)
SELECT a.audit, doc_id, d.id, d.path, d.row, d.kept, d.dropped_by, d.reason, _rule(d.reason) AS rule,
       a.reason AS stratum_reason, a.size AS stratum_documents, a.sampled AS stratum_sampled, a.size / a.sampled AS weight,
       l.good, l.note, l.relabelled, l.labelled_at, l.unsure
FROM _audits a JOIN documents d USING (doc_id) LEFT JOIN labels l USING (doc_id)
WHERE a.run = $run ORDER BY a.audit, a.place;
