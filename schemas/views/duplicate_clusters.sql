-- Members of duplicate clusters in the chosen run; `cluster` is the doc_id of the best member, `twin` that of the member
-- that stays for which another is dropped. A cluster of many members is a `template` where they are little like its best
-- one, or mostly stay.
CREATE VIEW duplicate_clusters AS
SELECT m.stage, coalesce((c.file_no << 32) | m.cluster_row, (t.file_no << 32) | m.twin_row) AS cluster,
       (f.file_no << 32) | m.file_row AS doc_id, m.keeper, m.cluster_size, (t.file_no << 32) | m.twin_row AS twin,
       m.similarity, m.containment, m.loss, m.cluster_similarity,
       m.cluster_size >= $template_members AND coalesce(avg(m.keeper::INTEGER) OVER same > 0.5
           OR avg(m.cluster_similarity) FILTER (m.file != m.cluster_file OR m.file_row != m.cluster_row) OVER same
               < $template_similarity, false) AS template,
       (l.file_no << 32) | m.link_row AS link, m.link_similarity
FROM ($members) m
JOIN _numbers f ON f.file = m.file
LEFT JOIN _numbers t ON t.file = m.twin_file
LEFT JOIN _numbers c ON c.file = m.cluster_file
LEFT JOIN _numbers l ON l.file = m.link_file
WINDOW same AS (PARTITION BY m.stage, m.cluster_file, m.cluster_row);
