"""Arrow types that say the same in other ways: what they are at heart, what two files have in common, and arrays turned
from one into the other, at every depth."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.sources.texts import stringlike, usable


def plain(kind: pa.DataType) -> pa.DataType:
    """The type without what only says how the values lie in memory, or what they are meant for: no dictionaries, runs
    and views, and of extension types what they are stored as. A UUID is its text."""
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.string()
        return pa.bool_() if kind.extension_name == "arrow.bool8" else plain(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_struct(kind):
        fields = [field.with_type(plain(field.type)) for field in kind]
        return kind if [field.type for field in fields] == [field.type for field in kind] else pa.struct(fields)
    if pa.types.is_map(kind):
        key, item = plain(kind.key_type), plain(kind.item_type)
        return kind if (key, item) == (kind.key_type, kind.item_type) else pa.map_(key, item)
    if _listed(kind):
        value = plain(kind.value_type)
        if value == kind.value_type and not (pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)):
            return kind
        return _list(_is_large(kind), value)
    return kind


def common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both, which are `plain`; None where there is none."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if stringlike(one) and stringlike(other):
        return pa.large_string() if pa.large_string() in (one, other) else pa.string()
    if usable(one) and usable(other):
        return pa.large_binary()
    integers = [kind for kind in (one, other) if pa.types.is_integer(kind)]
    if len(integers) == 2:
        if pa.uint64() not in integers:
            return pa.int64()
        return pa.uint64() if all(pa.types.is_unsigned_integer(kind) for kind in integers) else None
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (one, other)):
        return pa.float64()
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return _common_struct(one, other)
    if pa.types.is_map(one) and pa.types.is_map(other):
        key, item = common(one.key_type, other.key_type), common(one.item_type, other.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    if _listed(one) and _listed(other):
        value = common(one.value_type, other.value_type)
        return None if value is None else _list(_is_large(one) or _is_large(other), value)
    if pa.types.is_decimal(one) and pa.types.is_decimal(other):
        return _common_decimal(one, other)
    return _common_time(one, other)


def _common_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    scale = max(one.scale, other.scale)
    digits = scale + max(one.precision - one.scale, other.precision - other.scale)
    if digits > 76:
        return None
    return pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale)


def _common_time(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Of dates, moments, times of the day and durations. Nanoseconds hold 585 years, from 1677 on, so microseconds are
    what two units both fit into; what a file has beyond them is cut off."""
    days = [kind for kind in (one, other) if pa.types.is_date(kind)]
    moments = [kind for kind in (one, other) if pa.types.is_timestamp(kind)]
    if len(days) == 2:
        return pa.date32()
    if days and moments:
        return None if moments[0].tz else common(moments[0], pa.timestamp("s"))
    if len(moments) == 2 and (one.tz is None) == (other.tz is None):
        return pa.timestamp(_unit(one, other), one.tz if one.tz == other.tz else "UTC")
    if pa.types.is_duration(one) and pa.types.is_duration(other):
        return pa.duration(_unit(one, other))
    if pa.types.is_time(one) and pa.types.is_time(other):
        return pa.time64("ns" if "ns" in (one.unit, other.unit) else "us")
    return None


def _unit(one: pa.DataType, other: pa.DataType) -> str:
    finest = max(one.unit, other.unit, key=["s", "ms", "us", "ns"].index)
    return "us" if finest == "ns" and one.unit != other.unit else str(finest)


def fitted(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An array as another type, one that `common` made of its own or that Arrow casts to. Structs lose members that
    `kind` lacks, and have null for those that they lack. Raises pa.ArrowException where a value does not fit."""
    if array.type == kind:
        return array
    if isinstance(array, pa.ExtensionArray):
        return fitted(_uuids(array) if array.type.extension_name == "arrow.uuid" else array.storage, kind)
    if pa.types.is_dictionary(array.type):
        return fitted(array.dictionary_decode(), kind)
    if pa.types.is_run_end_encoded(array.type):
        return fitted(pc.run_end_decode(array), kind)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), kind)
    if pa.types.is_struct(kind) and pa.types.is_struct(array.type):
        children = [
            pa.nulls(len(array), field.type)
            if array.type.get_field_index(field.name) < 0
            else fitted(array.field(array.type.get_field_index(field.name)), field.type)
            for field in kind
        ]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    if pa.types.is_map(kind) and pa.types.is_map(array.type):
        keys, items = (
            fitted(part, to) for part, to in zip(_entries(array), (kind.key_type, kind.item_type), strict=True)
        )
        offsets = pc.subtract(array.offsets, array.offsets[0])
        return pa.MapArray.from_arrays(offsets, keys, items, mask=array.is_null()).cast(kind)
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _listed(array.type):
        large = pa.types.is_large_list(kind)
        values = fitted(array.flatten(), kind.value_type)
        made = pa.LargeListArray if large else pa.ListArray
        offsets = _offsets(array, pa.int64() if large else pa.int32())
        return made.from_arrays(offsets, values, type=kind, mask=array.is_null())
    # an integer beyond 2**53 loses its last digits where the column holds floats in another file, and so does a moment
    # in nanoseconds where it holds microseconds
    loose = pc.CastOptions.unsafe(kind) if pa.types.is_floating(kind) else None
    return pc.cast(array, options=loose or pc.CastOptions(kind, allow_time_truncate=True))


def weight(array: pa.Array) -> int:
    """Bytes of an array once no value of it is stored for several rows."""
    if isinstance(array, pa.ExtensionArray):
        return weight(array.storage)
    if pa.types.is_dictionary(array.type):
        values = array.dictionary
        if not usable(values.type):
            return 8 * len(array)
        lengths = pc.binary_length(values).cast(pa.int64()).take(array.indices)
        return int(pc.sum(lengths).as_py() or 0) + 8 * len(array)
    if pa.types.is_struct(array.type):
        return sum(weight(array.field(i)) for i in range(array.type.num_fields))
    if pa.types.is_map(array.type):
        return sum(map(weight, _entries(array))) + 8 * len(array)
    if _listed(array.type):
        return weight(array.flatten()) + 8 * len(array)
    return int(array.nbytes)


def light_slices(batch: pa.RecordBatch, limit: int) -> Iterator[pa.RecordBatch]:
    """The batch in consecutive slices of at most `limit` bytes by `weight`, or of one row."""
    if batch.num_rows < 2 or sum(weight(column) for column in batch.columns) <= limit:
        yield batch
        return
    half = batch.num_rows // 2
    yield from light_slices(batch.slice(0, half), limit)
    yield from light_slices(batch.slice(half), limit)


def _listed(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def _is_large(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind))


def _list(large: bool, value: pa.DataType) -> pa.DataType:
    return pa.large_list(value) if large else pa.list_(value)


def _common_struct(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Members of both, those of the first in front, each as what both share."""
    fields = []
    for field in one:
        index = other.get_field_index(field.name)
        shared = field.type if index < 0 else common(field.type, other.field(index).type)
        if shared is None:
            return None
        fields.append(pa.field(field.name, shared))
    return pa.struct([*fields, *(pa.field(f.name, f.type) for f in other if one.get_field_index(f.name) < 0)])


def _entries(array: pa.MapArray) -> tuple[pa.Array, pa.Array]:
    """Keys and items of all maps, one behind the other."""
    first = array.offsets[0].as_py()
    count = array.offsets[-1].as_py() - first
    return array.keys.slice(first, count), array.items.slice(first, count)


def _offsets(array: pa.Array, kind: pa.DataType) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), kind)


def _uuids(array: pa.ExtensionArray) -> pa.Array:
    # a loop over rows: Arrow has no kernel that writes UUIDs
    return pa.array(
        [None if value is None else str(uuid.UUID(bytes=value)) for value in array.storage.to_pylist()], pa.string()
    )
