"""What may stand in a gate: kinds of expressions, and functions, each named or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from curation.gates.database import fetch_all
from curation.gates.tree import Unparsed, below, children, select_of, span_of
from curation.gates.verdicts import Span
from schemas.errors import Finding

_ALLOWED = {
    "COLUMN_REF",
    "CONSTANT",
    "COMPARISON",
    "CONJUNCTION",
    "OPERATOR",
    "FUNCTION",
    "CASE",
    "CAST",
    "BETWEEN",
    "LAMBDA",
    "COLLATE",
    "TYPE",
}
_REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "DEFAULT": "DEFAULT",
    "POSITIONAL_REFERENCE": "a positional reference",
    "GROUPING_FUNCTION": "an aggregate",
}
_CLOCK_COLUMNS = {
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
}
"""Names without parentheses that DuckDB turns into calls when there is no such column."""
_CLOCK_FUNCTIONS = {"current_localtime", "current_localtimestamp"}
"""DuckDB 2.0 lists these as consistent, though they read the clock; so does `age` with one argument."""
_BUILD = re.compile(
    r"version|pragma_version|hash|get_type|pg_.*|has_.*_privilege|inet_.*|__.*|index_key|vector_type|stats"
    r"|icu_sort_key|icu_collate_.*|collate_.*|create_sort_key|get_block_size|sql_.*|json_(de)?serialize_(sql|plan)"
    r"|(current|session|txid)_.*|(obj|col|shobj)_description|format_pg_type|format_type|map_to_pg_oid|in_search_path"
    r"|getvariable|getenv|user|.*_byte_comparable|parse_duckdb_log_message|can_cast_implicitly|to_aggregate_state"
    r"|finalize|combine|remap_struct|variant_(bytes_to_variant|comparator|normalize|to_parquet_variant)|cast_to_type"
    r"|make_type|replace_type"
)
"""Functions that say something of this DuckDB, its build, session or catalog: another version answers otherwise."""
_SIMPLE = frozenset(
    """
    != !~~ !~~* % & && * ** + - / // < << <= <> = > >= >> @> <@ ^ ^@ | || ~ ~~ ~~* ~~~ abs acos asin atan
    atan2 ascii cbrt ceil ceiling char_length character_length concat contains cos damerau_levenshtein
    date_diff date_part date_trunc datediff datepart datetrunc day dayofmonth dayofweek dayofyear degrees
    ends_with epoch epoch_ms even exp floor fmod greatest hamming hour ilike_escape instr isfinite isinf
    isnan isodow jaccard jaro_similarity jaro_winkler_similarity json_array_length json_contains json_exists
    json_extract json_extract_string json_type json_valid json_value lcase least left len length levenshtein
    like_escape list_any_value list_avg list_contains list_count list_distinct list_element list_extract
    list_has list_has_all list_has_any list_indexof list_max list_median list_min list_position list_product
    list_sum list_unique list_value array_contains array_extract array_has array_length array_position ln
    log log10 log2 lower ltrim make_date md5 minute mod month not_ilike_escape not_like_escape nullif ord pi
    position pow power prefix quarter radians regexp_extract regexp_full_match regexp_matches reverse right
    round round_even row second sha1 sha256 sign sin sqrt starts_with strftime strip_accents strlen strpos
    strptime struct_extract struct_pack substr substring suffix tan trim trunc try_strptime ucase unicode
    upper weekday weekofyear year if element_at list_pack
    """.split()  # noqa: SIM905 - a page of one-word lines says less
)
"""Functions whose result is no larger than what they are given, or than a few bytes: a gate of these alone is evaluated
as it is, any other is first tried where it can do no harm (`curation.gates.trial`)."""
LONGEST = 10_000
"""Characters of a gate."""
ONE_CONDITION = "a gate is one condition, such as language.lang = 'en' and language.prob > 0.65"


def refusals(node: dict[str, Any], sql: str, scope: frozenset[str]) -> Iterator[tuple[Finding, Span | None]]:
    span = span_of(node, sql)
    kind = node["class"]
    refused = _REFUSED.get(node["type"]) or _REFUSED.get(kind)
    if refused is not None or kind not in _ALLOWED or node["type"] == "OPERATOR_UNPACK":
        yield _finding(f"gate contains {refused or 'an unsupported expression'}", ONE_CONDITION), span
        return
    if kind == "COLUMN_REF" and len(node["column_names"]) == 1:
        name = node["column_names"][0]
        if name.casefold() in _CLOCK_COLUMNS and name.casefold() not in scope:
            hint = "a decision must be the same tomorrow: compare with a constant"
            yield _finding(f"gate reads '{name}', which is not deterministic", hint), span
    if kind == "FUNCTION":
        fault = _fault(node)
        if fault is not None:
            yield _finding(*fault), span
            return
    for child, inner in below(node, scope):
        yield from refusals(child, sql, inner)


def _fault(node: dict[str, Any]) -> tuple[str, str] | None:
    """Message and hint when a function may not be called in a gate."""
    name = node["function_name"].casefold()
    if len(node["qualified_name"]["path"]) > 1:
        column = ".".join(node["qualified_name"]["path"][:-1])
        return f"gate calls '{column}.{name}(...)'", f"write {name}({column})"
    stability = _functions()
    if name not in stability:
        near = get_close_matches(name, stability, 1)
        return f"gate calls an unknown function '{name}'", f"did you mean '{near[0]}'?" if near else ONE_CONDITION
    if name in _CLOCK_FUNCTIONS or (name == "age" and len(node["arguments"]) == 1) or stability[name] == "volatile":
        return f"gate calls '{name}', which is not deterministic", "a decision must be the same tomorrow"
    if _BUILD.fullmatch(name):
        return f"gate calls '{name}', which depends on this version of DuckDB", "a decision must be the same tomorrow"
    if stability[name] is not None:
        return (
            f"gate calls '{name}', {stability[name]}",
            "a gate sees one document; a cut over all documents is a `select:` stage",
        )
    return None


@cache
def _functions() -> dict[str, str | None]:
    """Function names of DuckDB: None for what a gate may call, else why it may not."""
    rows = fetch_all(
        "SELECT lower(function_name), function_type, stability, macro_definition FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'window', 'macro', 'table', 'table_macro')"
    )
    verdicts: dict[str, str | None] = {}
    words = {"aggregate": "an aggregate", "window": "a window function"}
    for name, kind, _, _ in rows:
        if kind not in ("scalar", "macro"):
            verdicts[name] = words.get(kind, "a table function")
    # A name that is also scalar is decided by its scalar form: DuckDB binds that one, and `check` would see others.
    for name, kind, _, _ in rows:
        if kind == "scalar" and words.get("aggregate") != verdicts.get(name):
            verdicts[name] = None
    for name, kind, stability, _ in rows:
        if kind == "scalar" and stability != "CONSISTENT":
            verdicts[name] = "volatile"
    macros = {name: body for name, kind, _, body in rows if kind == "macro"}

    def inspect(name: str, seen: frozenset[str]) -> str | None:
        tree = select_of(macros[name])
        if name in seen or isinstance(tree, Unparsed):
            return "volatile"
        pending = list(tree["statements"][0]["node"]["select_list"])
        while pending:
            node = pending.pop()
            pending.extend(children(node))
            if node["class"] not in _ALLOWED:
                return _REFUSED.get(node["class"], "volatile")
            if node["class"] == "COLUMN_REF" and node["column_names"][0].casefold() in _CLOCK_COLUMNS:
                return "volatile"
            if node["class"] == "FUNCTION":
                called = node["function_name"].casefold()
                verdict = inspect(called, seen | {name}) if called in macros else verdicts.get(called, "volatile")
                if verdict is not None:
                    return verdict
        return None

    for name in macros:
        verdicts[name] = inspect(name, frozenset())
    return verdicts


def is_simple(node: dict[str, Any]) -> bool:
    """Whether an expression computes nothing that may be much larger than what it reads."""
    if node["class"] == "LAMBDA" or (node["class"] == "FUNCTION" and node["function_name"].casefold() not in _SIMPLE):
        return False
    return all(is_simple(child) for child in children(node))


def _finding(message: str, hint: str | None = None, code: str = "C011") -> Finding:
    return Finding(code, message, hint)
