"""Tests of how large a schema really is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.schema_size import MOST_PARTS, SchemaProblem, SchemaSize, measure_schema, node_count


def test_each_reference_counts_what_it_leads_to():
    """Two references to a part count it twice, and its definition not at all."""
    part = {"type": "string", "pattern": "x"}
    one = measure_schema({"$defs": {"p": part}, "items": {"$ref": "#/$defs/p"}})
    two = measure_schema(
        {"$defs": {"p": part}, "items": {"$ref": "#/$defs/p"}, "contains": {"$ref": "#/$defs/p"}}
    )
    assert (one.pattern_count, two.pattern_count) == (1, 2)
    assert two.part_count - one.part_count == one.part_count - 1
    assert measure_schema({"$defs": {"p": part}}) == SchemaSize(1, 0)
    assert measure_schema({"patternProperties": {"a": {}, "b": {}}}).pattern_count == 2


def test_references_that_multiply_are_refused():
    """Twenty lines that mean a million visits never reach the checker."""
    defs = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)}
    with pytest.raises(SchemaProblem, match=f"more than {MOST_PARTS}"):
        measure_schema({"$ref": "#/$defs/d0", "$defs": defs | {"d20": {}}})


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"$ref": "#"}, "$ref"),
        ({"items": {"$ref": "#"}}, "items.$ref"),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "$defs.a.not.$ref"),
        ({"$ref": "other.json"}, "$ref"),
        ({"$ref": "#part"}, "$ref"),
        ({"$ref": "#/nowhere"}, "$ref"),
        ({"items": {"$id": "x"}}, "items.$id"),
        ({"$anchor": "x"}, "$anchor"),
        ({"items": {"$dynamicRef": "#x"}}, "items.$dynamicRef"),
        ({"$recursiveAnchor": True}, "$recursiveAnchor"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "$schema"),
        ({"$schema": 7}, "$schema"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_its_path(schema, path):
    """Recursion, other documents and other dialects have no size that is known."""
    with pytest.raises(SchemaProblem) as caught:
        measure_schema(schema)
    assert caught.value.path == path


def test_deep_nesting_is_refused():
    """A schema that is nested without end is refused before it ends the stack."""
    deep: dict = {}
    for _ in range(200):
        deep = {"items": deep}
    with pytest.raises(SchemaProblem, match="nested"):
        measure_schema(deep)


def test_properties_may_have_the_names_of_keywords():
    """A property called $ref or pattern is a property."""
    schema = {"properties": {"$ref": {"type": "string"}, "$id": {}, "pattern": {"type": "string"}}}
    assert measure_schema(schema).pattern_count == 0


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", None])
def test_the_dialects_of_today_are_taken(dialect):
    """Draft 7 and later have the same parts."""
    schema = {"$id": "https://example.com/s", "type": "string"} | ({"$schema": dialect} if dialect else {})
    assert measure_schema(schema).part_count > 1


def test_a_path_may_hold_slashes_and_tildes():
    """A pointer escapes them."""
    assert measure_schema({"$defs": {"a/b~c": {}}, "items": {"$ref": "#/$defs/a~1b~0c"}}).part_count == 3


@given(st.lists(st.lists(st.integers(), max_size=5), max_size=5))
def test_nodes_are_values_and_names(lists):
    """Every value counts, at any depth."""
    assert node_count(lists) == 1 + len(lists) + sum(map(len, lists))
    assert node_count({"a": lists}) == 2 + node_count(lists)


@given(st.integers(1, 5000), st.integers(0, 50), st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_is_never_admitted_where_less_is_not(parts, patterns, nodes, chars):
    """Admission falls with every quantity."""
    if SchemaSize(parts + 1, patterns + 1).admits(nodes, chars):
        assert SchemaSize(parts, patterns).admits(nodes, chars)
        assert SchemaSize(parts, patterns).admits(nodes - 1, chars - 1)
