-- Dropped documents of the chosen run: by which stage, why, at what score against which threshold, for which twin.
CREATE VIEW drops AS
SELECT doc_id, id, path, row, dropped_by AS stage, reason, score, threshold, details, twin, similarity,
       link, link_similarity
FROM documents WHERE outcome = 'dropped';
