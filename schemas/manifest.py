"""The manifest's commit records: one Arrow schema for each kind of part. A record is written once and never changed.

Longer than most files: some thirty tables, a line for each column.
"""

from __future__ import annotations

import pyarrow as pa

FORMAT_VERSION = 2
"""Of the workspace's layout. A reader refuses a newer one."""
FIRST_FORMAT, BUNDLES_FORMAT = 1, 2
"""What a workspace begins as, and what it becomes with the first run that puts small files together."""

LIST = "list:"
"""Begins the address of a file in `models` that is no model: a blocklist, an evaluation set."""

_TIME = pa.timestamp("us", tz="UTC")


def _schema(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns])


PARTS: dict[str, pa.Schema] = {
    # what was learned by reading an input file once, so that the next plan need not open it
    "seen": _schema(
        ("path", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("settled", pa.bool_()),
        ("fingerprint", pa.string()),
        ("format", pa.string()),
        ("rows", pa.int64()),
        ("groups", pa.list_(pa.struct([("rows", pa.int64()), ("bytes", pa.int64())]))),
        ("columns", pa.binary()),
        ("error", pa.string()),
        ("ctime_ns", pa.int64()),
        ("inode", pa.uint64()),
        ("prints", pa.binary()),
    ),
    # file numbers, allotted once: a document's doc_id is file_no << 32 | row
    "files": _schema(("file_no", pa.int64()), ("path", pa.string()), ("fingerprint", pa.string())),
    "runs": _schema(
        ("run", pa.string()),
        ("name", pa.string()),
        ("recipe", pa.string()),
        ("recipe_path", pa.string()),
        ("recipe_dir", pa.string()),
        ("plan", pa.string()),
        ("sample", pa.int64()),
        ("rows", pa.int64()),
        ("created_at", _TIME),
    ),
    "stages": _schema(
        ("run", pa.string()),
        ("position", pa.int32()),
        ("stage", pa.string()),
        ("family", pa.string()),
        ("kind", pa.string()),
        ("settings", pa.string()),
        ("keep", pa.string()),
        ("fingerprint", pa.string()),
        ("version", pa.int32()),
        ("fields", pa.binary()),
    ),
    "shards": _schema(
        ("run", pa.string()),
        ("shard", pa.int32()),
        ("file", pa.int32()),
        ("file_no", pa.int64()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("fingerprint", pa.string()),
        ("row_start", pa.int64()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("error", pa.string()),
        # of a run with bundles of small shards, the first shard of the one that this is in; else null
        ("bundle", pa.int32()),
    ),
    "scores": _schema(
        ("run", pa.string()),
        ("attempt", pa.string()),
        ("step", pa.string()),
        ("fingerprint", pa.string()),
        ("file_fingerprint", pa.string()),
        ("row_start", pa.int64()),
        ("row_end", pa.int64()),
        ("data", pa.string()),
        ("rows", pa.int64()),
        ("errors", pa.int64()),
        ("bytes", pa.int64()),
        ("seconds", pa.float64()),
        ("content", pa.string()),
        ("hardware", pa.string()),
        ("created_at", _TIME),
    ),
    "entrants": _schema(
        ("run", pa.string()),
        ("attempt", pa.string()),
        ("stage", pa.string()),
        ("shard", pa.int32()),
        ("key", pa.string()),
        ("data", pa.string()),
        ("buckets", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("content", pa.string()),
        ("created_at", _TIME),
    ),
    "pairs": _schema(
        ("group", pa.string()),
        ("prefix", pa.int32()),
        ("attempt", pa.string()),
        ("data", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("created_at", _TIME),
    ),
    "groups": _schema(
        ("group", pa.string()),
        ("attempt", pa.string()),
        ("kind", pa.string()),
        ("entrants", pa.int64()),
        ("dropped", pa.int64()),
        ("members", pa.string()),
        ("links", pa.string()),
        ("cut", pa.string()),
        ("choice", pa.string()),
        ("report", pa.string()),
        ("bytes", pa.int64()),
        ("seconds", pa.float64()),
        ("created_at", _TIME),
    ),
    # which group result a run uses at which of its stages
    "barriers": _schema(("run", pa.string()), ("stage", pa.string()), ("group", pa.string())),
    # every measurement of one shard's documents (`curation.manifest.sketch`); they count once the shard is decided
    "sketches": _schema(
        ("run", pa.string()),
        ("shard", pa.int32()),
        ("source", pa.string()),
        ("stage", pa.string()),
        ("field", pa.string()),
        ("documents", pa.int64()),
        ("nulls", pa.int64()),
        ("nans", pa.int64()),
        ("whole", pa.bool_()),
        ("sum", pa.float64()),
        ("sum_sq", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("bins", pa.list_(pa.struct([("bin", pa.int32()), ("count", pa.int64())]))),
    ),
    "decisions": _schema(
        ("run", pa.string()),
        ("shard", pa.int32()),
        ("attempt", pa.string()),
        ("data", pa.string()),
        ("rows", pa.int64()),
        ("kept", pa.int64()),
        ("dropped", pa.int64()),
        ("errored", pa.int64()),
        ("kept_bytes", pa.int64()),
        ("bytes", pa.int64()),
        ("content", pa.string()),
        (
            "tally",
            pa.list_(
                pa.struct(
                    [("stage", pa.string()), ("outcome", pa.string()), ("reason", pa.string()), ("rows", pa.int64())]
                )
            ),
        ),
        # of what each dedup drops: how much of it is lost, and how many lose nothing; null in earlier versions
        (
            "lost",
            pa.list_(
                pa.struct(
                    [
                        ("stage", pa.string()),
                        ("rows", pa.int64()),
                        ("loss", pa.float64()),
                        ("nothing_lost", pa.int64()),
                    ]
                )
            ),
        ),
        ("created_at", _TIME),
    ),
    "written": _schema(
        ("run", pa.string()),
        ("part", pa.int32()),
        ("attempt", pa.string()),
        ("data", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("content", pa.string()),
        ("created_at", _TIME),
    ),
    "datasets": _schema(
        ("run", pa.string()),
        ("name", pa.string()),
        ("path", pa.string()),
        ("files", pa.int32()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("duplicate_ids", pa.int64()),
        ("skipped_shards", pa.int32()),
        ("created_at", _TIME),
    ),
    "models": _schema(
        ("fingerprint", pa.string()),
        ("step", pa.string()),
        ("address", pa.string()),
        ("revision", pa.string()),
        ("file", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("licence", pa.string()),
    ),
    # what the columns of each step mean, and what made them
    "scorers": _schema(
        ("run", pa.string()),
        ("step", pa.string()),
        ("kind", pa.string()),
        ("version", pa.int32()),
        ("fingerprint", pa.string()),
        ("score", pa.string()),
        ("orientation", pa.int8()),
        ("scale", pa.string()),
        ("tokens", pa.string()),
        ("truncated", pa.string()),
        ("model", pa.string()),
        ("model_revision", pa.string()),
        ("weights", pa.string()),
        ("tokenizer", pa.string()),
        ("dtype", pa.string()),
        ("device", pa.string()),
    ),
    "fits": _schema(
        ("fit", pa.string()),
        ("generation", pa.int32()),
        ("stage", pa.string()),
        ("kind", pa.string()),
        ("artifact", pa.string()),
        ("sha256", pa.string()),
        ("card", pa.string()),
        ("created_at", _TIME),
    ),
    "attempts": _schema(
        ("attempt", pa.string()),
        ("run", pa.string()),
        ("executor", pa.string()),
        ("host", pa.string()),
        ("pid", pa.int64()),
        ("process", pa.string()),
        ("hardware", pa.string()),
        ("started_at", _TIME),
        # which is the latest: a clock may go back; null in workspaces of earlier versions
        ("number", pa.int64()),
    ),
    # runs that were asked for by a label, or once more when they were finished; of a label the greatest number counts.
    # `after`: the number of the last attempt before, since which of both was last says which run is the latest
    "asked": _schema(
        ("number", pa.int64()),
        ("run", pa.string()),
        ("label", pa.string()),
        ("after", pa.int64()),
        ("asked_at", _TIME),
    ),
    # what each model did in each process, for one pass of one attempt
    "meters": _schema(
        ("run", pa.string()),
        ("attempt", pa.string()),
        ("step", pa.string()),
        ("host", pa.string()),
        ("pid", pa.int64()),
        ("model", pa.string()),
        ("device", pa.string()),
        ("dtype", pa.string()),
        ("documents", pa.int64()),
        ("tokens", pa.int64()),
        ("slots", pa.int64()),
        ("flops", pa.float64()),
        ("busy", pa.float64()),
        ("wall", pa.float64()),
        ("peak", pa.float64()),
    ),
    "ends": _schema(
        ("attempt", pa.string()),
        ("run", pa.string()),
        ("outcome", pa.string()),
        ("scored", pa.int64()),
        ("reused", pa.int64()),
        ("seconds", pa.float64()),
        ("ended_at", _TIME),
    ),
    # documents that were sampled for labelling by hand, one part an audit, with the sizes that weigh their labels
    "audits": _schema(
        ("audit", pa.string()),
        ("run", pa.string()),
        ("place", pa.int32()),
        ("doc_id", pa.int64()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("size", pa.int64()),
        ("sampled", pa.int64()),
        ("created_at", _TIME),
    ),
    # labels of one run's documents; of one document the greatest number counts
    "audit_labels": _schema(
        ("run", pa.string()),
        ("number", pa.int64()),
        ("doc_id", pa.int64()),
        ("good", pa.bool_()),
        ("note", pa.string()),
        ("labelled_at", _TIME),
    ),
    # beside them, in one sequence of numbers: `mark` is unsure, or undone, which takes number `undoes` of the kind `of`
    # back for that document
    "audit_marks": _schema(
        ("run", pa.string()),
        ("number", pa.int64()),
        ("doc_id", pa.int64()),
        ("mark", pa.string()),
        ("note", pa.string()),
        ("undoes", pa.int64()),
        ("of", pa.string()),
        ("labelled_at", _TIME),
    ),
    # runs of `curate weak-to-strong`: what was asked
    "weak_runs": _schema(
        ("run", pa.string()),
        ("name", pa.string()),
        ("spec", pa.string()),
        ("spec_path", pa.string()),
        ("spec_dir", pa.string()),
        ("classes", pa.list_(pa.string())),
        ("rows", pa.int64()),
        ("gold", pa.int64()),
        ("created_at", _TIME),
    ),
    "weak_files": _schema(
        ("run", pa.string()),
        ("file", pa.int32()),
        ("file_no", pa.int64()),
        ("path", pa.string()),
        ("fingerprint", pa.string()),
        ("rows", pa.int64()),
    ),
    # who learns from which row, frozen: a later generation keeps what an earlier one has drawn
    "weak_splits": _schema(
        ("protocol", pa.string()),
        ("generation", pa.int64()),
        ("run", pa.string()),
        ("seed", pa.int32()),
        ("drawn", pa.string()),
        ("data", pa.string()),
        ("rows", pa.int64()),
        ("quarantined", pa.int64()),
        ("straddling", pa.int64()),
        ("content", pa.string()),
        ("created_at", _TIME),
    ),
    # what was learned and said: one supervisor, fold and seed, or one student and seed, or the labels of one seed
    "weak_units": _schema(
        ("unit", pa.string()),
        ("run", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("seed", pa.int32()),
        ("part", pa.string()),
        ("data", pa.string()),
        ("files", pa.list_(pa.string())),
        ("content", pa.string()),
        ("bytes", pa.int64()),
        ("facts", pa.string()),
        ("seconds", pa.float64()),
        ("created_at", _TIME),
    ),
    "weak_supervisors": _schema(
        ("run", pa.string()),
        ("seed", pa.int32()),
        ("supervisor", pa.string()),
        ("kind", pa.string()),
        ("status", pa.string()),
        ("message", pa.string()),
        ("votes", pa.float64()),
        ("accuracy", pa.float64()),
        ("auc", pa.float64()),
        ("ece", pa.float64()),
        ("estimated_accuracy", pa.float64()),
        ("estimated_error", pa.float64()),
        ("most_dependent_on", pa.string()),
        ("dependence", pa.float64()),
    ),
    "weak_labels": _schema(
        ("run", pa.string()),
        ("seed", pa.int32()),
        ("data", pa.string()),
        ("rows", pa.int64()),
        ("temperature", pa.float64()),
        ("facts", pa.string()),
    ),
    # one row a student, or one without a student, of each finished run
    "weak_results": _schema(
        ("run", pa.string()),
        ("name", pa.string()),
        ("path", pa.string()),
        ("student", pa.string()),
        ("kind", pa.string()),
        ("seeds", pa.int32()),
        ("weak", pa.float64()),
        ("student_accuracy", pa.float64()),
        ("student_low", pa.float64()),
        ("student_high", pa.float64()),
        ("ceiling", pa.float64()),
        ("ceiling_low", pa.float64()),
        ("ceiling_high", pa.float64()),
        ("recovered", pa.float64()),
        ("recovered_low", pa.float64()),
        ("recovered_high", pa.float64()),
        ("identifiable", pa.bool_()),
        ("reason", pa.string()),
        ("created_at", _TIME),
    ),
    "failures": _schema(
        ("run", pa.string()),
        ("attempt", pa.string()),
        ("shard", pa.int32()),
        ("path", pa.string()),
        ("step", pa.string()),
        ("code", pa.string()),
        ("message", pa.string()),
        ("failed_at", _TIME),
    ),
}

TWIN = [
    pa.field("twin_file", pa.int32()),
    pa.field("twin_row", pa.int64()),
    pa.field("similarity", pa.float64()),
    pa.field("link_file", pa.int32()),
    pa.field("link_row", pa.int64()),
    pa.field("link_similarity", pa.float64()),
    pa.field("containment", pa.float64()),
    pa.field("loss", pa.float64()),
]
"""A duplicate's twin that stayed, and its most similar neighbour: index of the file in the run's order, and row. How
much of the duplicate stands in the twin, and what stands in no document of the cluster that stayed."""

TEMPLATE_MEMBERS, TEMPLATE_SIMILARITY = 20, 0.9
"""A cluster of so many members looks like pages of one template where they are less alike than this to its best one on
average, or where most of them stay."""

DECISION = [
    pa.field("row", pa.int64(), nullable=False),
    pa.field("id", pa.string()),
    pa.field("outcome", pa.string(), nullable=False),
    pa.field("dropped_by", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("score", pa.float64()),
    pa.field("threshold", pa.float64()),
    pa.field("details", pa.string()),
    *TWIN,
]
"""A decision, before one struct for each stage. `outcome` is kept, dropped or errored; `row` counts in the file."""

SHARD = "shard index"
"""Column of decisions of a run with bundles of small shards: which shard each row is of. No stage has such a name."""

DOCUMENT = (
    *("run", "doc_id", "id", "path", "row", "kept", "outcome", "dropped_by", "reason", "score", "threshold", "details"),
    *("twin", "similarity", "containment", "loss", "link", "link_similarity"),
)
"""Columns of the view `documents` before one struct for each stage."""

RESERVED = frozenset(
    {
        *(item.name for item in DECISION),
        *DOCUMENT,
        *("documents", "filename", "file", "input", "stage", "status", "text"),
    }
)
"""Ids that no stage may have: what stands beside its struct in decisions, in `documents` and around them."""
