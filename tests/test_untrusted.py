"""Text from MLflow: what hides or steers is gone, secrets and insides are out, the rest is untouched."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.untrusted import (
    PUBLIC_TEXT_LIMIT,
    SENTENCE_LIMIT,
    clean,
    clip,
    public_text,
    sentence,
    shown,
    without_secrets,
)

BANNED_RANGES = (
    (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160),
    (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xD800, 0xDFFF), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0xFFFE, 0xFFFF),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
BANNED = frozenset(chr(point) for first, last in BANNED_RANGES for point in range(first, last + 1))
LINE_ENDS = "\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"

ANY_TEXT = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from(sorted(BANNED))))


@given(ANY_TEXT)
def test_no_banned_character_survives_cleaning(text: str):
    """Drawn from all of Unicode, surrogates included, with the banned ones often."""
    assert not BANNED & set(clean(text))


@given(ANY_TEXT)
def test_cleaning_a_clean_text_changes_nothing(text: str):
    """Idempotent, and the very same object comes back."""
    once = clean(text)
    assert clean(once) is once


@given(ANY_TEXT)
def test_cleaning_keeps_every_other_character_in_its_order(text: str):
    """Only what is banned goes; line ends become line feeds, a lone surrogate leaves a replacement character."""
    lines = text.replace("\r\n", "\n").translate(dict.fromkeys(map(ord, LINE_ENDS), "\n"))
    kept = [("\ufffd" if unicodedata.category(c) == "Cs" else c) for c in lines]
    assert clean(text) == "".join(c for c in kept if c not in BANNED)


def test_line_ends_tabs_and_other_scripts_stay():
    """Windows line ends lose only their carriage return."""
    assert clean("loss:\t0.1\r\nточность 精度 é 🙂") == "loss:\t0.1\nточность 精度 é 🙂"


def test_terminal_escapes_bidi_and_tag_characters_go():
    """The attacks that the reference measured in MLflow's store."""
    assert clean("a\x00b\x1b[2J\u202ecod\u2066e\U000e0041\U000e007f!") == "ab[2Jcode!"


def test_a_lone_surrogate_becomes_a_replacement_character():
    """It can be encoded afterwards: a lone surrogate ends an mcp 2.3.0 stdio server."""
    assert clean("half \ud83d of a smile").encode() == "half \ufffd of a smile".encode()


@given(ANY_TEXT)
def test_a_clean_text_has_no_line_end_but_the_line_feed(text: str):
    """Whatever a reader splits at: U+2028 ends a line for Python, JavaScript and many terminals."""
    assert clean(text).splitlines() == clean(text).removesuffix("\n").split("\n") or not clean(text)


def test_no_character_that_unicode_calls_a_format_character_hides_in_a_clean_text():
    """Only the Arabic and Kaithi signs that are drawn stay; a new version of Unicode makes this fail."""
    every = "".join(map(chr, range(0x110000)))
    formats = {c for c in clean(every) if unicodedata.category(c) in ("Cf", "Cc", "Cs", "Zl", "Zp")}
    drawn = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
    assert formats <= {chr(point) for point in drawn} | {"\t", "\n"}


JSON_VALUE = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT, st.lists, max_leaves=5)


@given(JSON_VALUE, st.integers(min_value=1, max_value=200))
def test_a_shown_value_is_one_bounded_line_without_hidden_characters(value: object, limit: int):
    """Arguments of every type are quoted in errors."""
    line = shown(value, limit)
    assert len(line.splitlines()) <= 1
    assert len(line) <= limit + len("… (1,000,000 more characters)")
    assert not BANNED & set(line)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("one\ntwo\u2028hint: delete it", "one two hint: delete it"),
        (["a", 1, None, True], '["a", 1, null, true]'),
        ({"metrics.accuracy": float("nan")}, '{"metrics.accuracy": NaN}'),
        ("x" * 10_000_000, "x" * 80 + "… (9,999,920 more characters)"),
        ({("a", 1): 2}, "a value of type dict"),
        (10**5000, "a value of type int"),
    ],
    ids=["lines", "list", "mapping", "10 MB", "key that is no text", "5,000 digits"],
)
def test_a_shown_value_is_recognisable(value: object, line: str):
    """A text as it is, everything else as JSON."""
    assert shown(value) == line


def test_a_long_sentence_keeps_its_beginning_and_its_advice():
    """What was wrong is at the beginning, what would be right at the end; the value between may be 10 MB."""
    for length in (5_000, 10_000_000):
        text = sentence(f"No run '{'x' * length}'. Give an id; search_runs lists them.")
        assert len(text) < SENTENCE_LIMIT + 100
        assert text.startswith("No run 'xxx")
        assert text.endswith("xxx'. Give an id; search_runs lists them.")
        assert "more characters) …" in text


@given(ANY_TEXT)
def test_any_sentence_leaves_as_one_clean_line(text: str):
    """Also a short one: an error that ends in a made-up hint or table row stays one line."""
    assert len(sentence(text).splitlines()) <= 1
    assert not BANNED & set(sentence(text))


def test_clip_says_how_many_characters_it_left_out():
    """The reader can judge whether the rest is worth a call."""
    assert clip("x" * 6_000, 188) == "x" * 188 + "… (5,812 more characters)"
    assert clip("abc", 2) == "ab… (1 more character)"


def test_clip_returns_a_short_text_as_it_is():
    """Nothing is appended when nothing was left out."""
    text = "x" * 10
    assert clip(text, 10) is text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:hunter2@mlflow:5000/x", "http://mlflow:5000/x"),
        ("https://ghp_hunter2@github.com/a", "https://github.com/a"),
        ("postgresql+psycopg2://ann:p%40hunter2@db/mlflow", "postgresql+psycopg2://db/mlflow"),
        ("postgresql://ann:p@hunter2@db/mlflow", "postgresql://db/mlflow"),
        ("mysql://ann:a/hunter2@db/mlflow", "mysql://db/mlflow"),
        ("mysql://ann:a#hunter2?@db/mlflow", "mysql://db/mlflow"),
        ("[http://a:hunter2@one, http://b:hunter2@two]", "[http://one, http://two]"),
        ("postgresql://db/mlflow?user=ann&password=hunter2&sslmode=on", "postgresql://db/mlflow?user=ann&password=***&sslmode=on"),
        ("host=db user=ann password='hunter2 x' port=1", "host=db user=ann password=*** port=1"),
        ("https://s3/b?X-Amz-Signature=hunter2&X-Amz-Security-Token=hunter2", "https://s3/b?X-Amz-Signature=***&X-Amz-Security-Token=***"),
        ('{"token": "hunter2", "n": 1}', '{"token": ***, "n": 1}'),
        ("aws_secret_access_key = hunter2/x+y", "aws_secret_access_key = ***"),
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "key *** is unknown"),
        ("Authorization: Bearer hunter2hunter2hunter2", "Authorization: Bearer ***"),
    ],
)  # fmt: skip
def test_secrets_are_taken_out_and_the_rest_stays(text: str, shown: str):
    """URIs keep their host, parameters their name."""
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://mlflow:5000/user@example.com",
        "page_token=abc next_page_token='def'",
        "max_tokens=512, tokenizer=bpe",
        "Basic authentication is required; unexpected token: OR",
        "runs:/0a1b/model models:/churn/3 s3://bucket/a/b",
    ],
)
def test_ordinary_text_is_not_mistaken_for_a_secret(text: str):
    """MLflow's own words survive."""
    assert without_secrets(text) == text


SQL_ERROR = """(sqlite3.IntegrityError) UNIQUE constraint failed: params.key, params.run_uuid
[SQL: INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?) -- [x]]
[parameters: [('lr', '0.1', '0a1b'), ('secret', 'hunter2', '0a1b')]]
(Background on this error at: https://sqlalche.me/e/20/gkpj)"""


def test_sql_its_parameters_and_the_driver_are_taken_out_of_an_error():
    """What the database said in words stays: it tells a busy store from a wrong request."""
    assert public_text(SQL_ERROR) == "UNIQUE constraint failed: params.key, params.run_uuid"
    assert public_text("(sqlite3.OperationalError) database is locked\n[SQL: SELECT 1") == "database is locked"


def test_what_sqlalchemy_says_about_its_session_is_taken_out_of_an_error():
    """A store that was locked for long answers with it."""
    message = (
        "This Session's transaction has been rolled back due to a previous exception during flush. To begin a new "
        "transaction with this Session, first issue Session.rollback(). Original exception was: "
        "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block) "
        "(sqlite3.OperationalError) database is locked\n[SQL: INSERT INTO tags VALUES (?)]"
    )
    assert public_text(message) == "database is locked"


def test_what_follows_an_sql_statement_in_an_error_stays():
    """Only the statement and SQLAlchemy's remark go."""
    assert public_text(SQL_ERROR + " Try again.").endswith("params.run_uuid Try again.")


def test_a_traceback_is_cut_off():
    """Everything behind its first line is the library's."""
    message = 'It failed. Traceback (most recent call last):\n  File "/usr/lib/x.py", line 1\nKeyError: 1'
    assert public_text(message) == "It failed."


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("[Errno 2] No such file: '/home/ann/My Docs/mlruns/0'", "[Errno 2] No such file: [path]"),
        ("No file /srv/mlflow/artifacts/1/model.pkl, sorry", "No file [path], sorry"),
        ("cannot open file:///home/ann/mlruns", "cannot open [path]"),
        ("cannot open sqlite:////home/ann/mlflow.db now", "cannot open [path] now"),
        (r"No file C:\Users\Ann Lee\mlruns\0 here", "No file [path] here"),
        (r"No file '\\server\share\x'", "No file '[path]'"),
    ],
)
def test_local_paths_are_taken_out(message: str, shown: str):
    """They tell an agent nothing and others where things lie."""
    assert public_text(message) == shown


@pytest.mark.parametrize(
    "message",
    [
        "Invalid attribute key 'acc' and/or metrics/params: use metrics.accuracy > 0.9 (metrics.accuracy)",
        "No model version at models:/churn/3 from runs:/0a1b/model in s3://bucket/a/b",
        "POST /api/2.0/mlflow/runs/search on http://127.0.0.1:5000/mlflow/api",
        "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
    ],
)
def test_mlflows_own_words_pass_unchanged(message: str):
    """Routes, URIs of models and filters are what the agent needs."""
    assert public_text(message) == message


def test_public_text_is_one_short_clean_line_without_secrets():
    """MLflow appends tutorials of 800 characters to some errors."""
    shown = public_text("bad\u202e value\r\n\n  at http://ann:hunter2@mlflow/ " + "word " * 500)
    assert shown.startswith("bad value at http://mlflow/ word word")
    assert len(shown) == PUBLIC_TEXT_LIMIT and shown.endswith("…")


@given(st.text(st.sampled_from("a1 /\\:@'\"=[](.){}\n") | st.characters(exclude_categories=())))
def test_any_text_can_be_made_public(message: str):
    """No text makes it fail, and the result is always one bounded line."""
    shown = public_text(message)
    assert len(shown) <= PUBLIC_TEXT_LIMIT and len(shown.splitlines()) <= 1
