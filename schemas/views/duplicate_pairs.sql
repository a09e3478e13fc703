-- Verified pairs of duplicates in the chosen run.
CREATE VIEW duplicate_pairs AS
SELECT p.stage, (a.file_no << 32) | p.a_row AS a, (b.file_no << 32) | p.b_row AS b, p.similarity
FROM ($links) p JOIN _numbers a ON a.file = p.a_file JOIN _numbers b ON b.file = p.b_file;
