"""Name the fields in which Airflow's connections differ from those on standard input, and never a value.

Runs inside a container of Airflow: its REST API shows no password, so what it has is compared where it is.
"""

import json
import sys

from airflow.models.connection import Connection
from airflow.utils.session import create_session
from sqlalchemy import select

FIELDS = ("conn_type", "description", "host", "login", "password", "port", "schema")

differing = {}
with create_session() as session:
    for wanted in json.load(sys.stdin):
        name = wanted["connection_id"]
        found = session.scalar(select(Connection).where(Connection.conn_id == name))
        if found is None:
            differing[name] = None
            continue
        fields = [field for field in FIELDS if (getattr(found, field) or None) != (wanted.get(field) or None)]
        if found.extra_dejson != json.loads(wanted.get("extra") or "{}"):
            fields.append("extra")
        if fields:
            differing[name] = fields
print(json.dumps(differing))
