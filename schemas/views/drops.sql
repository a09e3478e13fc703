-- Dropped documents of the chosen run: by which stage, why, at what score against which threshold, for which twin; for
-- duplicates, how much of their word 3-grams stands in the twin, and how much in no document of the cluster that stays.
-- `rule` is the reason without the document's own values: what to group by.
CREATE VIEW drops AS
SELECT doc_id, id, path, row, dropped_by AS stage, reason, score, threshold, details, twin, similarity, containment, loss,
       link, link_similarity, _rule(reason) AS rule
FROM documents WHERE outcome = 'dropped';
