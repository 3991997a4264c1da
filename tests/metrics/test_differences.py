"""Two answers side by side: only what differs, by its path."""

from uptake_metrics.differences import Difference, differences


def test_equal_answers_do_not_differ() -> None:
    assert differences({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [1]}}) == []


def test_fields_are_named_by_their_path() -> None:
    before = {"mau": 3, "adoption": {"num": 3, "den": 4}, "flags": ["x"]}
    after = {"mau": 4, "adoption": {"num": 4, "den": 4}, "flags": []}
    assert differences(before, after) == [
        Difference(field="mau", before=3, after=4),
        Difference(field="adoption.num", before=3, after=4),
        Difference(field="flags", before=["x"], after=[]),
    ]


def test_a_field_that_came_later_was_null_before() -> None:
    assert differences({}, {"policy": "digital"}) == [Difference(field="policy", before=None, after="digital")]
    assert differences({"gone": 1}, {}) == [Difference(field="gone", before=1, after=None)]
    assert differences({}, {"anchor": None}) == []
