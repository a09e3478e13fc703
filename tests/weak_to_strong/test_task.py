"""Templates over columns, and what names a class."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curation.weak_to_strong.task import Template, as_text, codes


def test_a_template_puts_columns_between_its_words() -> None:
    template = Template.parse("{{q}} {title}: {text}")
    columns = {"title": as_text(pa.array(["A", None])), "text": as_text(pa.array([1, 2]))}
    assert template.columns == ("title", "text")
    assert template.render(columns, 2).to_pylist() == ["{q} A: 1", "{q} : 2"]


@pytest.mark.parametrize("source", ["{text", "{0}", "{text:>5}", "{text!r}", "{a.b}"])
def test_what_is_more_than_a_column_is_no_template(source: str) -> None:
    with pytest.raises(ValueError, match=r"column|brace|expected|'\}'"):
        Template.parse(source)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["no", "yes", None], [0, 1, -1]),
        ([1, 0, None], [1, 0, -1]),
        ([1.0, 0.0, None], [1, 0, -1]),
        ([True, False, None], [1, 0, -1]),
        ([None, None, None], [-1, -1, -1]),
    ],
)
def test_classes_go_by_name_place_or_truth(values: list[object], found: list[int]) -> None:
    assert codes(pa.array(values), ["no", "yes"]).tolist() == found


@pytest.mark.parametrize("values", [["maybe"], [2], [-1], [0.5], [[1]]])
def test_what_is_no_class_is_refused(values: list[object]) -> None:
    with pytest.raises(ValueError, match="class"):
        codes(pa.array(values), ["no", "yes"])
