-- What the columns of each scoring step mean, and what made them: which one ranks documents and which way, on what scale,
-- which ones say how much was read; the model's address, revision and hash, the tokenizer's hash, number format, device.
CREATE VIEW scorers AS
SELECT run, step, kind, version, score, orientation, scale, tokens, truncated, model, model_revision, weights, tokenizer,
       dtype, device, fingerprint
FROM _scorers
ORDER BY run, step;
