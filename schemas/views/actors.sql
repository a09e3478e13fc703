-- What each model did in one process during one pass: speed, padding, how busy it was, and how much of the device's
-- operations a second its tokens needed while it was (model FLOP utilisation; NULL where the device's are not known).
CREATE VIEW actors AS
SELECT run, attempt, step, host, pid, model, device, dtype, documents, tokens,
       tokens / nullif(wall, 0) AS tokens_per_second,
       documents / nullif(wall, 0) AS documents_per_second,
       1 - tokens / nullif(slots, 0) AS padding_share,
       least(busy / nullif(wall, 0), 1) AS busy_share,
       flops / nullif(busy, 0) / peak AS flop_utilisation,
       wall AS seconds
FROM _meters
ORDER BY attempt, step, pid;
