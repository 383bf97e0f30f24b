"""Bring MLflow's tables to this version, and say which migrations ran.

Run to the end before the server starts: a migration that two processes begin, or that a restart interrupts,
does not recover by itself. The URL is that of the environment, as the server reads it.

With CHECK=true it only compares: each difference on a line; 0 none, 3 another version, 4 the tables are gone.
"""

import logging
import os
import re
import sys
import sysconfig
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pymysql

DIFFERS, GONE = 3, 4
NO_SCHEMA, NO_TABLE = 1049, 1146
VERSIONS = Path(sysconfig.get_path("purelib")) / "mlflow" / "store" / "db_migrations" / "versions"


def latest() -> set[str]:
    """Revisions that no other one follows. Read and not imported: MLflow takes seconds to load."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in VERSIONS.glob("*.py"))
    revisions = re.findall(r"^revision\b.*?[\"'](\w+)", text, re.MULTILINE)
    followed = re.findall(r"^down_revision\b.*", text, re.MULTILINE)
    return set(revisions) - set(re.findall(r"[\"'](\w+)[\"']", " ".join(followed)))


def compare(url: str) -> int:
    """Print what differs from a database that was migrated to this version; returns the exit code."""
    parts = urlsplit(url)
    schema = parts.path.removeprefix("/")
    try:
        connection = pymysql.connect(
            host=parts.hostname, database=schema, connect_timeout=10, **dict(parse_qsl(parts.query))
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT version_num FROM alembic_version")
            found = {version for (version,) in cursor.fetchall()}
    except pymysql.MySQLError as error:
        if error.args[0] not in (NO_SCHEMA, NO_TABLE):
            sys.exit(str(error))
        print(f"the schema {schema} has no tables of MLflow")
        return GONE
    if found != latest():
        print(f"MLflow's tables are at {', '.join(sorted(found))}, not at {', '.join(sorted(latest()))}")
        return DIFFERS
    return 0


def migrate(url: str) -> None:
    """Run the migrations that are missing."""
    from mlflow.db import upgrade  # noqa: PLC0415 - dear, and of no use to a comparison

    logging.basicConfig(level=logging.INFO, format="%(levelname)s [%(name)s] %(message)s")
    logging.getLogger("alembic").setLevel(logging.INFO)
    upgrade([url])


if os.environ.get("CHECK") == "true":
    sys.exit(compare(os.environ["MLFLOW_BACKEND_STORE_URI"]))
migrate(os.environ["MLFLOW_BACKEND_STORE_URI"])
