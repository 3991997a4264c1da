"""What pydantic finds wrong, in words for people who have never heard of it. Judges nothing."""

from collections.abc import Mapping
from typing import Any

_WORDS = {  # by pydantic's name for what is wrong
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "literal_error": "must be {expected}",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "must have the form {pattern}",
    "value_error": "{error}",
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "must be a day such as 2026-05-10",
    ),
}


def in_plain_words(error: Mapping[str, Any]) -> str:
    """One of `ValidationError.errors()`; what is rare keeps pydantic's own words."""
    words = _WORDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else str(error["msg"])
