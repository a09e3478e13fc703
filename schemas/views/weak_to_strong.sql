-- What each student of each finished weak-to-strong run gained: means over seeds, t intervals, and the share of the gap
-- between weak labels and ceiling that it recovered, NULL with a reason where that is not identifiable.
CREATE VIEW weak_to_strong AS
SELECT w.*, r.rows, r.gold, r.classes FROM _weak_results w JOIN _weak_runs r USING (run) ORDER BY w.created_at, student;
