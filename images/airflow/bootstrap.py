"""Bring Airflow's metadata database to this version and make sure that its administrator can sign in.

Run to the end before any Airflow service starts, and again whenever the image changes: each step is
idempotent.

With CHECK=true it only compares: each difference on a line; 0 none, 3 some, 4 the tables are gone.
"""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import psycopg2
from psycopg2.errors import UndefinedTable
from psycopg2.sql import SQL, Identifier
from werkzeug.security import check_password_hash

DIFFERS, GONE = 3, 4
NAME = os.environ["AIRFLOW_ADMIN_USER"]
PASSWORD = Path(os.environ["AIRFLOW_ADMIN_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()

# Tables that hold a version, and the folders of the migrations behind them.
MIGRATIONS = {"alembic_version": "migrations", "alembic_version_fab": "providers/fab/migrations"}
FIND_USER = """
    SELECT password, active, EXISTS (
        SELECT FROM ab_user_role JOIN ab_role ON ab_role.id = role_id
        WHERE user_id = ab_user.id AND name = 'Admin'
    )
    FROM ab_user WHERE username = %s
"""


def latest(folder: str) -> set[str]:
    """Revisions that no other one follows. Read and not imported: Airflow takes seconds to load."""
    files = (Path(sysconfig.get_path("purelib")) / "airflow" / folder / "versions").glob("*.py")
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    revisions = re.findall(r"^revision\b.*?[\"'](\w+)", text, re.MULTILINE)
    followed = re.findall(r"^down_revision\b.*", text, re.MULTILINE)
    return set(revisions) - set(re.findall(r"[\"'](\w+)[\"']", " ".join(followed)))


def compare() -> int:
    """Print what differs from a database that was brought to this version; returns the exit code."""
    differences = []
    uri = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
    try:
        with psycopg2.connect(uri, connect_timeout=10) as connection, connection.cursor() as cursor:
            for table, folder in MIGRATIONS.items():
                cursor.execute(SQL("SELECT version_num FROM {}").format(Identifier(table)))
                found = {version for (version,) in cursor.fetchall()}
                if found != latest(folder):
                    differences.append(f"Airflow's {table} is {', '.join(sorted(found)) or 'empty'}")
            cursor.execute(FIND_USER, (NAME,))
            user = cursor.fetchone()
    except UndefinedTable:
        print("the database has no tables of Airflow")
        return GONE
    except psycopg2.OperationalError as error:
        sys.exit(str(error).strip())

    if user is None:
        differences.append(f"Airflow has no user {NAME}")
    else:
        password, active, is_admin = user
        if not check_password_hash(password, PASSWORD):
            differences.append(f"the password of Airflow's user {NAME} is not that of the secret file")
        if not active or not is_admin:
            differences.append(f"Airflow's user {NAME} is {'no Admin' if active else 'not active'}")
    for difference in differences:
        print(difference)
    return DIFFERS if differences else 0


def bring_up() -> None:
    """Migrate, then have the administrator."""
    # In a process of its own: what is imported below reads the tables that migrations make.
    subprocess.run(["airflow", "db", "migrate"], check=True)

    from airflow.providers.fab.auth_manager.cli_commands.utils import (  # noqa: PLC0415 - see above
        get_application_builder,
    )

    with get_application_builder() as builder:
        manager = builder.sm
        admin = manager.find_role("Admin")
        user = manager.find_user(username=NAME)
        if user is None:
            user = manager.add_user(
                username=NAME,
                first_name="Airflow",
                last_name="Administrator",
                email=f"{NAME}@localhost",
                role=admin,
                password=PASSWORD,
            )
            if not user:
                raise SystemExit(f"Airflow refused to create the user '{NAME}'; its reason stands above.")
            print(f"User '{NAME}' created.")
            return
        user.active = True
        if admin not in user.roles:
            user.roles.append(admin)
        manager.update_user(user)
        manager.reset_password(user.id, PASSWORD)
        print(f"User '{NAME}' is there; its password is the one of the secret file.")


if os.environ.get("CHECK") == "true":
    sys.exit(compare())
bring_up()
