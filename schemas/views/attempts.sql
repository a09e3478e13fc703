-- Invocations of runs. `outcome` is null while one is under way, or when it was killed.
CREATE VIEW attempts AS
SELECT attempt, a.run, executor, host, pid, hardware, started_at, ended_at, outcome, scored, seconds
FROM _attempts a LEFT JOIN _ends e USING (attempt)
ORDER BY number NULLS FIRST, started_at;
