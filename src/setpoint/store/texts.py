"""What is measured of free text: its length, capitals, language and words. No text and no word of it is kept.

A text is profiled as six features, each asked the same questions as any other: `review (length)` in characters,
`review (capitals)`, the share of its letters that are, `review (language)`, `review (words)` and `review (word pairs)`,
one of its words and of its pairs of words by hash, and `review (new words)`, the share of its words that earlier texts
have not. One a text, for rows are independent and the words of a text are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import duckdb
import numpy as np

from setpoint.store.engines.duck import literal, quoted, rows
from setpoint.store.measures import Column, Definition, Vocabulary, Words

LENGTH, CAPITALS, NEW_WORDS = "length", "capitals", "new words"
LANGUAGE, WORDS, PAIRS = "language", "words", "word pairs"
PARTS = (LENGTH, CAPITALS, NEW_WORDS, LANGUAGE, WORDS, PAIRS)

FIRST_WORDS = 32
"""Words of a text that are looked at: more would cost more and say little."""

KNOWN_WORDS = 4096
"""Words, the most frequent ones, that are known."""

_PLACES = 1 << 16
_BUCKETS = 64
_MARKS = ',.;:!?"()[]\n\t'

_COMMON = {
    "German": "der die und das nicht ist ich ein mit auf",
    "English": "the and of is that for with this you was are",
    "Spanish": "el los las por con para muy pero como está",
    "French": "le les des et est une pas vous dans pour",
    "Italian": "il che di non per sono della gli anche questo",
    "Dutch": "het een van niet ik dat zijn voor wij",
    "Polish": "nie się jest na że jak do tak ale",
    "Portuguese": "os não um uma com mais muito são você ao",
}
"""Words that tell a language: among the most frequent ones of it, and not of the others."""

_SCRIPTS = (
    (0x370, ""), (0x400, "Greek"), (0x530, "Cyrillic"), (0x590, "other"), (0x600, "Hebrew"), (0x800, "Arabic"),
    (0x900, "other"), (0x980, "Devanagari"), (0xE00, "other"), (0xE80, "Thai"), (0x1100, "other"), (0x1200, "Hangul"),
    (0x1E00, "other"), (0x1F00, ""), (0x2000, "Greek"), (0x3040, "other"), (0x3100, "Kana"), (0x3400, "other"),
    (0xA000, "Han"), (0xAC00, "other"), (0xD7B0, "Hangul"),
)  # fmt: skip
"""Where a script ends, and its name; of the Latin one words tell the language."""

_HASHED = Vocabulary(tuple(f"#{n}" for n in range(_BUCKETS)), ())  # no number: a key may be one, and be forgotten

VOCABULARIES = {
    WORDS: _HASHED,
    PAIRS: _HASHED,
    LANGUAGE: Vocabulary((*_COMMON, "Latin", *dict.fromkeys(script for _, script in _SCRIPTS if script), "none"), ()),
}
"""The values of the parts that are no numbers: all there can be."""


def part_of(text: str, part: str) -> str:
    """Return the name of what is measured of a text.

    Example:
        >>> part_of("review", LENGTH)
        'review (length)'
    """
    return f"{text} ({part})"


def texts_of(definition: Definition) -> dict[str, Words]:
    """Return the texts that a definition measures, and the words that it knows of each."""
    end = part_of("", NEW_WORDS)
    return {name.removesuffix(end): how for name, how in definition.features.items() if isinstance(how, Words)}


def sources_of(definition: Definition) -> dict[str, str]:
    """Return the text that each part is measured of, by the part's name."""
    return {part_of(text, part): text for text in texts_of(definition) for part in PARTS}


def parts_of_present(definition: Definition) -> set[str]:
    """Return the parts that are asked of rows with a text: that one is missing is asked once, of its length."""
    return {part for part, text in sources_of(definition).items() if part != part_of(text, LENGTH)}


def known_words(connection: duckdb.DuckDBPyConnection, text: str, source: str) -> bytes:
    """Return which words are known, by hash: the most frequent ones of each half of some texts.

    A text is held against the words of the half that it is not in, so that none makes its own words known: else the
    texts that the words are from would have fewer new ones than later texts that are no different.

    Args:
        connection: Where the rows are.
        text: SQL of the text.
        source: What to select from.
    """
    places = f"list_transform({_words('spaced')}, lambda w: {_place('w')})"
    other = f"{_PLACES} * (1 - {_half(_number_of('text'))})"
    spots = f"SELECT unnest({places}) + {other} AS spot FROM ({_spaced({'': text}, source, ())})"
    found = rows(
        connection,
        f"SELECT spot FROM ({spots}) GROUP BY spot QUALIFY row_number()"
        f" OVER (PARTITION BY spot // {_PLACES} ORDER BY count(*) DESC, spot) <= {KNOWN_WORDS}",
    )
    is_known = np.zeros(2 * _PLACES, dtype=bool)
    is_known[[cast("int", row[0]) for row in found]] = True
    return np.packbits(is_known).tobytes()


def measured(texts: Mapping[str, tuple[str, bytes]], source: str, kept: Sequence[str] = ()) -> str:
    """Return SQL that reads each text once and gives a column for each of its parts.

    Args:
        texts: SQL of each text by its name, and the words that are known of it.
        source: What to select from.
        kept: What else is selected.
    """
    names = [name.rpartition(" AS ")[2] for name in kept]
    read, told = list(names), list(names)
    for n, (name, (_, known)) in enumerate(texts.items()):
        text, spaced = f"text_{n}", f"spaced_{n}"
        called = {part: quoted(part_of(name, part)) for part in PARTS}
        read += [
            f"length({text}) AS {called[LENGTH]}",
            f"{_capitals(text)} AS {called[CAPITALS]}",
            f"{_first_letter(text)} AS first_{n}",
            f"{_common_words(spaced)} AS common_{n}",
            f"list_transform({_words(spaced)}, lambda w: {_place('w')}) AS places_{n}",
            f"{_number_of(text)} AS number_{n}",
        ]
        told += [called[LENGTH], called[CAPITALS], f"{_language(f'first_{n}', f'common_{n}')} AS {called[LANGUAGE]}"]
        told.append(f"{_new_words(f'places_{n}', _half(f'number_{n}'), known)} AS {called[NEW_WORDS]}")
        drawn = f"places_{n}[1 + number_{n} % nullif(len(places_{n}), 0)]"
        told.append(f"'#' || {drawn} // {_PLACES // _BUCKETS} AS {called[WORDS]}")
        told.append(f"{_drawn_pair(f'places_{n}', f'number_{n}')} AS {called[PAIRS]}")
    plain = _spaced({f"_{n}": sql for n, (sql, _) in enumerate(texts.values())}, source, kept)
    # Unless it is told to keep what it has read, DuckDB reads once more for each use of it.
    return f"WITH read AS MATERIALIZED (SELECT {', '.join(read)} FROM ({plain})) SELECT {', '.join(told)} FROM read"


def part_columns(texts: Sequence[str]) -> dict[str, Column]:
    """Return the columns of what `measured` gives."""
    return {name: Column(quoted(name), "") for text in texts for name in (part_of(text, part) for part in PARTS)}


def _spaced(texts: Mapping[str, str], source: str, kept: Sequence[str]) -> str:
    """Return SQL of texts, and of their words in small letters with spaces between them, by what their names end on."""
    plain = ", ".join([*kept, *(f"CAST({sql} AS VARCHAR) AS text{end}" for end, sql in texts.items())])
    names = [name.rpartition(" AS ")[2] for name in kept]
    told = ", ".join([*names, *(f"text{end}, {_small_letters(f'text{end}')} AS spaced{end}" for end in texts)])
    return f"SELECT {told} FROM (SELECT {plain} FROM {source})"


def _small_letters(text: str) -> str:
    # A chain of replacements takes a tenth of the time of translate or of an expression.
    for mark in _MARKS:
        text = f"replace({text}, {literal(mark)}, ' ')"
    return f"lower({text})"


def _words(spaced: str) -> str:
    return f"list_filter(string_split({spaced}, ' '), lambda w: w <> '')[:{FIRST_WORDS}]"


def _place(word: str) -> str:
    # DuckDB's own hash is five times as fast, and may differ from one version to the next.
    return f"CAST('0x' || md5({word})[:4] AS USMALLINT)"


def _number_of(text: str) -> str:
    return f"CAST('0x' || md5({text})[:7] AS INTEGER)"


def _half(number: str) -> str:
    return f"({number} // 1024 % 2)"


def _new_words(places: str, half: str, known: bytes) -> str:
    is_new = f"get_bit(CAST(from_hex({literal(known.hex())}) AS BIT), CAST(place AS INTEGER) + {_PLACES} * {half}) = 0"
    return f"len(list_filter({places}, lambda place: {is_new})) / nullif(len({places}), 0)"


def _drawn_pair(places: str, number: str) -> str:
    """Return SQL of one pair of neighbouring words, by hash; null for a text of fewer than two."""
    first = f"1 + {number} // 7 % nullif(len({places}) - 1, 0)"
    both = f"(CAST({places}[{first}] AS INTEGER) * 31 + {places}[1 + {first}]) % {_PLACES}"
    return f"'#' || ({both}) // {_PLACES // _BUCKETS}"


def _capitals(text: str) -> str:
    """Return SQL of the share of letters that are capitals, of those that can be; null without any.

    Where small and capital letters take as many bytes, bytes that differ are counted: that takes a fifth of the time.
    """
    plain = f"replace({text}, 'ß', '')"
    small, large = f"lower({plain})", f"upper({plain})"
    counted = f"hamming({plain}, {small}) / nullif(hamming({large}, {small}), 0)"
    alike = f"strlen({small}) > 0 AND strlen({small}) = strlen({plain}) AND strlen({large}) = strlen({plain})"
    capitals = rf"length(regexp_replace({text}, '[^\p{{Lu}}]+', '', 'g'))"
    letters = rf"length(regexp_replace({text}, '[^\p{{Lu}}\p{{Ll}}]+', '', 'g'))"
    return f"CASE WHEN {alike} THEN {counted} ELSE {capitals} / nullif({letters}, 0) END"


def _first_letter(text: str) -> str:
    return rf"unicode(regexp_extract({text}, '\p{{L}}'))"


def _common_words(spaced: str) -> str:
    common = "|".join(word for words in _COMMON.values() for word in words.split())
    return f"regexp_extract_all(' ' || replace({spaced}, ' ', '  ') || ' ', ' ({common}) ', 1)"


def _language(first: str, common: str) -> str:
    """Return SQL of the language that most of a text's common words are of; of other scripts, that of its first letter.

    Both are columns: an expression in each of so many cases takes longer to plan than to run.

    Source: Ingle (1976), A language identification table, The Incorporated Linguist 15, for counting short words.
    """
    cases = " ".join(
        f"WHEN w IN ({', '.join(map(literal, words.split()))}) THEN {literal(name)}" for name, words in _COMMON.items()
    )
    latin = f"coalesce(list_mode(list_transform({common}, lambda w: CASE {cases} END)), 'Latin')"
    scripts = " ".join(f"WHEN {first} < {end} THEN {literal(name)}" for end, name in _SCRIPTS)
    script = f"CASE WHEN {first} <= 0 THEN 'none' {scripts} ELSE 'other' END"
    return f"CASE WHEN {first} IS NOT NULL THEN coalesce(nullif({script}, ''), {latin}) END"
