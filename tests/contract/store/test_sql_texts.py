"""Every SQL text of the stores and migrations keeps to the portable subset."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

STORE = Path(__file__).parents[3] / "daemon" / "store"
# The adapters speak their own engine's words.
ADAPTERS = {"sqlite.py", "mysql.py", "mysql_connection.py", "mysql_pool.py"}
STARTS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WITH|REPLACE)\s", re.IGNORECASE)
QUOTED = re.compile(r"'(?:[^']|'')*'")
COMMENT = re.compile(r"--.*")
FOREIGN = re.compile(
    r"\b(RETURNING|ON\s+CONFLICT|ON\s+DUPLICATE|INSERT\s+(OR|IGNORE)|REPLACE\s+INTO|CURRENT_TIMESTAMP"
    r"|AUTO_?INCREMENT|TRUE|FALSE|CREATE\s+(UNIQUE\s+)?INDEX|FOR\s+UPDATE|ILIKE|GLOB|REGEXP|INTERVAL)\b|\b(NOW|DATE\w*)\s*\("
    r"|->|\|\||`|\bLIMIT\s+\S+\s*,",
    re.IGNORECASE,
)


def texts_of(source: str) -> Iterator[str]:
    """The constants in a module that begin like a statement, f-strings with their gaps left out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if STARTS.match(text):
            yield text


def all_texts() -> list[tuple[str, str]]:
    modules = [path for path in sorted(STORE.glob("*.py")) if path.name not in ADAPTERS]
    texts = [(path.name, text) for path in modules for text in texts_of(path.read_text())]
    return texts + [(path.name, path.read_text()) for path in sorted(STORE.glob("migrations/*.sql"))]


def faults(sql: str) -> list[str]:
    sql = COMMENT.sub("", sql)
    found = [f"? inside quotes: {quoted}" for quoted in QUOTED.findall(sql) if "?" in quoted]
    bare = QUOTED.sub("''", sql)
    found += ["a percent sign" for _ in range("%" in sql)]
    found += [f"not portable: {match[0]}" for match in FOREIGN.finditer(bare)]
    unknown = set(re.findall(r"\{(\w+)\}", sql)) - {"now_ms", "table_options", "ids"}
    return found + [f"unknown token: {token}" for token in sorted(unknown)]


def test_all_sql_texts_keep_to_the_portable_subset() -> None:
    """No text holds a literal question mark or percent sign, or a word that one engine doesn't know."""
    texts = all_texts()
    assert len(texts) > 5
    assert {f"{name}: {fault}: {text}" for name, text in texts for fault in faults(text)} == set()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k FROM t WHERE k = 'what?'",
        "SELECT k FROM t WHERE k LIKE 'a%'",
        "INSERT INTO t (k) VALUES (?) ON CONFLICT DO NOTHING",
        "INSERT INTO t (k) VALUES (?) RETURNING k",
        "SELECT NOW()",
        "SELECT a || b FROM t",
        "SELECT k FROM t LIMIT ?, ?",
        "SELECT {now} FROM t",
    ],
)
def test_the_scan_finds_what_it_looks_for(sql: str) -> None:
    """Each fault is found, in a plain text and inside a module."""
    assert faults(sql)
    assert list(texts_of(f"X = {sql!r}")) == [sql]
