"""Columns that gates are tried on, and what refuses a gate."""

import pyarrow as pa
import pytest

from curation.gates import Gate, GateError

FIELDS = {
    "language": [pa.field("lang", pa.string()), pa.field("prob", pa.float32())],
    "gopher": [pa.field("pass", pa.bool_()), pa.field("reason", pa.string()), pa.field("words", pa.int64())],
}


def struct(**columns):
    return pa.StructArray.from_arrays([pa.array(values) for values in columns.values()], names=list(columns))


def refusal(sql, fields=None, **options):
    with pytest.raises(GateError) as caught:
        Gate.parse(sql).check(FIELDS if fields is None else fields, **options)
    return caught.value


TYPES = {
    "g": [
        pa.field("words", pa.int64()),
        pa.field("small", pa.int8()),
        pa.field("prob", pa.float32()),
        pa.field("pass", pa.bool_()),
        pa.field("lang", pa.string()),
        pa.field("list", pa.list_(pa.int64())),
        pa.field("deep", pa.struct([("a", pa.struct([("b", pa.int32())]))])),
    ]
}
