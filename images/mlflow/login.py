"""Make the users of MLflow's login, with the passwords of the secret files, before the server starts.

The database is new at each start, in memory, and holds nothing that these files do not say: to replace a
password is to start again. On MySQL the migrations of the login fail (3.17: two foreign keys of one name).
"""

import configparser
import os
from pathlib import Path

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

# What a user may do with all experiments and models. The administrator may do all, and anybody else nothing.
GRANTS = {"airflow": "MANAGE", "model-api": "READ"}
RESOURCES = ("experiment", "registered_model")

path = Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"])
config = configparser.ConfigParser()
config.read_string(path.read_text(encoding="utf-8"))
login = config["mlflow"]

store = SqlAlchemyStore()
store.init_db(login["database_uri"])
store.create_user(login["admin_username"], login["admin_password"], is_admin=True)
for name, permission in GRANTS.items():
    store.create_user(name, path.with_name(f"{name}-password").read_text(encoding="utf-8").strip())
    for resource in RESOURCES:
        store.grant_user_permission(name, resource, "*", permission)
