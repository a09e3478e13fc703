-- Pairs of near documents in the chosen run: whether one was dropped for the other, and where not, why not. Pairs that are
-- a little less similar than `verify`, or too different in another way, are rows too.
CREATE VIEW duplicate_pairs AS
SELECT p.stage, (a.file_no << 32) | p.a_row AS a, (b.file_no << 32) | p.b_row AS b, p.similarity, p.containment,
       p.dropped, p.reason
FROM ($links) p JOIN _numbers a ON a.file = p.a_file JOIN _numbers b ON b.file = p.b_file;
