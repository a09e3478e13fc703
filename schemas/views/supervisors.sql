-- Every supervisor of every weak-to-strong run and seed: how often it votes, how right it is on test rows with gold, and
-- what was estimated without. `dependence` beyond the label makes estimates too high. A failed one has its message.
CREATE VIEW supervisors AS
SELECT r.name, s.* FROM _weak_supervisors s JOIN _weak_runs r USING (run) ORDER BY r.created_at, run, seed, supervisor;
