-- Members of duplicate clusters in the chosen run; `cluster` is the doc_id of the keeper.
CREATE VIEW duplicate_clusters AS
SELECT m.stage, (t.file_no << 32) | m.twin_row AS cluster, (f.file_no << 32) | m.file_row AS doc_id, m.keeper,
       m.cluster_size, m.similarity, (l.file_no << 32) | m.link_row AS link, m.link_similarity
FROM ($members) m
JOIN _numbers f ON f.file = m.file
LEFT JOIN _numbers t ON t.file = m.twin_file
LEFT JOIN _numbers l ON l.file = m.link_file;
