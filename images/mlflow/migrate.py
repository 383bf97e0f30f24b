"""Bring MLflow's tables to this version, and say which migrations ran; where there is a login, its users too.

Run to the end before the server starts: a migration that two processes begin, or that a restart interrupts,
does not recover by itself. The URL is that of the environment, as the server reads it.

With CHECK=true it only compares: each difference on a line; 0 none, 3 some, 4 the tables are gone.
"""

import configparser
import logging
import os
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pymysql
from werkzeug.security import check_password_hash

DIFFERS, GONE = 3, 4
NO_SCHEMA, NO_TABLE = 1049, 1146
STORE = Path(sysconfig.get_path("purelib")) / "mlflow"
MIGRATIONS = STORE / "store" / "db_migrations" / "versions"
LOGIN_MIGRATIONS = STORE / "server" / "auth" / "db" / "migrations" / "versions"

# What a user may do with all experiments and models. The administrator may do all, and anybody else nothing.
GRANTS = {"airflow": "MANAGE", "model-api": "READ"}
RESOURCES = ("experiment", "registered_model")
FIND_GRANTS = """
    SELECT username, resource_type, permission
    FROM users JOIN user_role_assignments ON user_id = users.id JOIN role_permissions USING (role_id)
    WHERE resource_pattern = '*'
"""


def passwords() -> dict[str, str]:
    """The password of each user of the login, as the secret files have it; none without a login."""
    if (path := os.environ.get("MLFLOW_AUTH_CONFIG_PATH")) is None:
        return {}
    config = configparser.ConfigParser()
    config.read_string(Path(path).read_text(encoding="utf-8"))
    admin = config["mlflow"]
    others = {name: Path(path).with_name(f"{name}-password") for name in GRANTS}
    return {admin["admin_username"]: admin["admin_password"]} | {
        name: file.read_text(encoding="utf-8").strip() for name, file in others.items()
    }


def latest(folder: Path) -> set[str]:
    """Revisions that no other one follows. Read and not imported: MLflow takes seconds to load."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    revisions = re.findall(r"^revision\b.*?[\"'](\w+)", text, re.MULTILINE)
    followed = re.findall(r"^down_revision\b.*", text, re.MULTILINE)
    return set(revisions) - set(re.findall(r"[\"'](\w+)[\"']", " ".join(followed)))


def differences_of_login(cursor: Any, users: dict[str, str]) -> list[str]:
    """What differs of the users, given with their passwords, and of what they may do."""
    cursor.execute("SELECT username, password_hash, is_admin FROM users")
    found = {name: (password, bool(is_admin)) for name, password, is_admin in cursor.fetchall()}
    cursor.execute(FIND_GRANTS)
    granted = set(cursor.fetchall())
    differences = []
    for name, password in users.items():
        if name not in found:
            differences.append(f"MLflow has no user {name}")
            continue
        stored, is_admin = found[name]
        if not check_password_hash(stored, password):
            differences.append(f"the password of MLflow's user {name} is not that of the secret file")
        if is_admin == (name in GRANTS):
            differences.append(f"MLflow's user {name} is {'an' if is_admin else 'no'} administrator")
    wanted = {(name, resource, grant) for name, grant in GRANTS.items() for resource in RESOURCES}
    differences += [f"MLflow's user {name} lacks {grant} on {kind}" for name, kind, grant in wanted - granted]
    return sorted(differences)


def compare(url: str) -> int:
    """Print what differs from a database that was migrated to this version; returns the exit code."""
    parts = urlsplit(url)
    schema = parts.path.removeprefix("/")
    versions = {"alembic_version": MIGRATIONS}
    if users := passwords():
        versions["alembic_version_auth"] = LOGIN_MIGRATIONS
    differences: list[str] = []
    try:
        connection = pymysql.connect(
            host=parts.hostname, database=schema, connect_timeout=10, **dict(parse_qsl(parts.query))
        )
        with connection, connection.cursor() as cursor:
            for table, folder in versions.items():
                cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - one of the two above
                found = {version for (version,) in cursor.fetchall()}
                if found != (wanted := latest(folder)):
                    have, want = (", ".join(sorted(revisions)) for revisions in (found, wanted))
                    differences.append(f"MLflow's {table} is {have}, not {want}")
            if users and not differences:
                differences = differences_of_login(cursor, users)
    except pymysql.MySQLError as error:
        if error.args[0] not in (NO_SCHEMA, NO_TABLE):
            sys.exit(str(error))
        print(f"the schema {schema} has no tables of MLflow")
        return GONE
    for difference in differences:
        print(difference)
    return DIFFERS if differences else 0


def migrate(url: str) -> None:
    """Run the migrations that are missing."""
    from mlflow.db import upgrade  # noqa: PLC0415 - dear, and of no use to a comparison

    logging.basicConfig(level=logging.INFO, format="%(levelname)s [%(name)s] %(message)s")
    logging.getLogger("alembic").setLevel(logging.INFO)
    upgrade([url])


def have_users(url: str, users: dict[str, str]) -> None:
    """Have the login's tables in the same schema, and its users with their passwords."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - see above

    store = SqlAlchemyStore()
    store.init_db(url)
    for name, password in users.items():
        is_admin = name not in GRANTS
        if store.has_user(name):
            store.update_user(name, password, is_admin)
        else:
            store.create_user(name, password, is_admin)
        for resource in RESOURCES if name in GRANTS else ():
            store.grant_user_permission(name, resource, "*", GRANTS[name])
        print(f"User '{name}' is there; its password is the one of the secret file.")


URL = os.environ["MLFLOW_BACKEND_STORE_URI"]
if os.environ.get("CHECK") == "true":
    sys.exit(compare(URL))
migrate(URL)
if users := passwords():
    have_users(URL, users)
