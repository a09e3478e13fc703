-- Dropped documents of the chosen run: by which stage, why, at what score against which threshold, for which twin. `rule`
-- is the reason without the document's own values: what to group by.
CREATE VIEW drops AS
SELECT doc_id, id, path, row, dropped_by AS stage, reason, score, threshold, details, twin, similarity,
       link, link_similarity, _rule(reason) AS rule
FROM documents WHERE outcome = 'dropped';
