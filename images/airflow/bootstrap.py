"""Bring Airflow's metadata database to this version and make sure that its administrator can sign in.

Run to the end before any Airflow service starts, and again whenever the image changes: each step is
idempotent.
"""

import os
import subprocess
from pathlib import Path

# Migrations first, in a process of their own: what is imported below reads the tables they make.
subprocess.run(["airflow", "db", "migrate"], check=True)

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder  # noqa: E402

name = os.environ["AIRFLOW_ADMIN_USER"]
password = Path(os.environ["AIRFLOW_ADMIN_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()

with get_application_builder() as builder:
    manager = builder.sm
    user = manager.find_user(username=name)
    if user is None:
        user = manager.add_user(
            username=name,
            first_name="Airflow",
            last_name="Administrator",
            email=f"{name}@localhost",
            role=manager.find_role("Admin"),
            password=password,
        )
        if not user:
            raise SystemExit(f"Airflow refused to create the user '{name}'; its reason stands above.")
        print(f"User '{name}' created.")
    else:
        manager.reset_password(user.id, password)
        print(f"User '{name}' is there; its password is the one of the secret file.")
