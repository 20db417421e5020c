"""Reads tables of a TOML document field by field, so that every mistake names its file, table and field."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any, TypeVar

from costsvc.core.toml_lines import line_of

T = TypeVar("T")


class CatalogError(ValueError):
    """A file cannot be used as it stands: `file`, `line`, `table` and `field` say where, `problem` why.

    `line` counts from 1, and is 0 where no line can be named.
    """

    def __init__(self, file: str, table: str, field: str, problem: str, *, line: int = 0) -> None:
        place = f"{file}:{line}" if line else file
        where = ": ".join(part for part in (place, table, field) if part)
        super().__init__(f"{where}: {problem}")
        self.file, self.table, self.field, self.problem, self.line = file, table, field, problem, line


class Row:
    """One table of a file. Each reader checks a field's type; `finish` refuses what nobody has read."""

    def __init__(
        self, file: str, table: str, values: Mapping[str, Any], *, text: str = "", place: str | None = None
    ) -> None:
        self.file, self.table, self.values = file, table, values
        self._text, self._place = text, table if place is None else place  # `table` may become a better name
        self._read: set[str] = set()

    def error(self, field: str, problem: str) -> CatalogError:
        """Return the error that says what is wrong with a field of this table."""
        line = line_of(self._text, self._place, field)
        return CatalogError(self.file, self.table, field, problem, line=line)

    def has(self, field: str) -> bool:
        """Tell whether the field is there."""
        return field in self.values

    def _take(self, field: str, kind: type[T], default: T | None, wanted: str) -> T:
        self._read.add(field)
        value = self.values.get(field, default)
        if value is None:
            raise self.error(field, "is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(field, f"must be {wanted}")
        return value

    def text(self, field: str, default: str | None = None, *, among: frozenset[str] | None = None) -> str:
        """Return a string, one of a closed set where `among` is given."""
        value = self._take(field, str, default, "a string")
        if among is not None and value not in among:
            raise self.error(field, f"{value!r} is none of {', '.join(sorted(among))}")
        return value

    def texts(self, field: str, default: list[str] | None = None) -> tuple[str, ...]:
        """Return an array of strings."""
        values = self._take(field, list, default, "an array of strings")
        if not all(isinstance(value, str) for value in values):
            raise self.error(field, "must be an array of strings")
        return tuple(values)

    def flag(self, field: str, default: bool | None = None) -> bool:
        """Return true or false."""
        return self._take(field, bool, default, "true or false")

    def count(self, field: str, default: int | None = None) -> int:
        """Return a whole number that is not negative."""
        value = self._take(field, int, default, "a whole number")
        if value < 0:
            raise self.error(field, "must not be negative")
        return value

    def optional_flag(self, field: str) -> bool | None:
        """Return true or false, or None where the field is absent."""
        return self.flag(field) if self.has(field) else None

    def optional_count(self, field: str) -> int | None:
        """Return a whole number that is not negative, or None where the field is absent."""
        return self.count(field) if self.has(field) else None

    def day(self, field: str) -> date | None:
        """Return a date, or None where the field is absent."""
        if not self.has(field):
            return None
        value = self._take(field, date, None, "a date such as 2026-11-22")
        if isinstance(value, datetime):
            raise self.error(field, "must be a date without a time")
        return value

    def decimal(self, field: str, default: str | None = None) -> Fraction:
        """Return a decimal string as an exact number that is not negative."""
        value = self.text(field, default)
        if not value.replace(".", "", 1).isdecimal():
            raise self.error(field, f"{value!r} is not a decimal number")
        return Fraction(value)

    def row(self, field: str, default: Mapping[str, Any] | None = None) -> Row:
        """Return a table inside this one."""
        values = self._take(field, dict, default, "a table")
        return self._inner(field, values)

    def rows(self, field: str, default: list[Any] | None = None) -> tuple[Row, ...]:
        """Return an array of tables inside this one, each named by its position, counted from 1."""
        values = self._take(field, list, default, "an array of tables")
        if not all(isinstance(value, dict) for value in values):
            raise self.error(field, "must be an array of tables")
        return tuple(self._inner(f"{field}[{at}]", value) for at, value in enumerate(values, 1))

    def _inner(self, name: str, values: Mapping[str, Any]) -> Row:
        inner, place = (f"{outer}.{name}" if outer else name for outer in (self.table, self._place))
        return Row(self.file, inner, values, text=self._text, place=place)

    def finish(self) -> None:
        """Refuse fields that no reader asked for: a mistyped name would otherwise be a silent default."""
        unknown = sorted(self.values.keys() - self._read)
        if unknown:
            raise self.error(unknown[0], "is not a known field")


def read_document(file: str, text: str) -> Row:
    """Return the whole document as a row; TOML's own errors are reported under the file's name."""
    try:
        return Row(file, "", tomllib.loads(text), text=text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(file, "", "", f"is not TOML: {error}") from error
