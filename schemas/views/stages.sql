-- Stages of every run, in order.
CREATE VIEW stages AS
SELECT run, position, stage, family, kind, keep, settings, version, fingerprint
FROM _stages ORDER BY run, position;
