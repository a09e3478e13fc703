-- One row for each decided document of the chosen run, with one struct for each stage that it reached.
CREATE VIEW documents AS
SELECT $run AS run, (s.file_no << 32) | d.row AS doc_id, d.id, s.path, d.row,
       d.outcome = 'kept' AS kept, d.outcome, d.dropped_by, d.reason, d.score, d.threshold, d.details,
       (t.file_no << 32) | d.twin_row AS twin, d.similarity, d.containment, d.loss,
       (l.file_no << 32) | d.link_row AS link, d.link_similarity$structs
FROM $decisions d
JOIN _decided s ON s.filename = d.filename AND s.part = coalesce(d."shard index", -1)
LEFT JOIN _numbers t ON t.file = d.twin_file
LEFT JOIN _numbers l ON l.file = d.link_file;
