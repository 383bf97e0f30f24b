"""Commands of a person about Production: `python -m covertype rollback` and `python -m covertype approve 7`.

The MySQL server to write the decision to comes on standard input, as `airflow connections get mysql_default
--output json` shows it, so that no password is seen.
"""

import argparse
import json
import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pymysql
from mlflow.exceptions import MlflowException

from covertype import registry, steps, tables
from covertype.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code, 1 with a message on standard error when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m covertype", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("rollback", help="put the previous Production version back in Production")
    approval = commands.add_parser("approve", help="put a version that waits for approval in Production")
    approval.add_argument("version", type=int, help="its number")
    asked = parser.parse_args(arguments)
    # A person is waiting: with MLflow's own seven retries it takes minutes to say that the server is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

    settings, request = Settings(), f"command {datetime.now(UTC).isoformat(timespec='microseconds')}"
    try:
        with closing(_connect(json.load(sys.stdin))) as connection:
            if asked.command == "rollback":
                promotion = steps.rollback(connection, settings, request)
            else:
                promotion = steps.approve(connection, settings, asked.version, request)
    except json.JSONDecodeError as error:
        print(f"Standard input is not a connection in JSON: {error}", file=sys.stderr)
        return 1
    except (
        registry.RegistryError,
        steps.NotWaiting,
        tables.LockTimeout,
        MlflowException,
        pymysql.err.Error,
    ) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{settings.model_name}: {promotion.reason}")
    return 0


def _connect(shown: Any) -> tables.MySQL:
    known = shown[0] if isinstance(shown, list) else shown
    return tables.connect(
        known["host"], known["login"], known["password"], known["schema"], int(known["port"] or 3306)
    )


if __name__ == "__main__":
    sys.exit(main())
