"""Command line of the library: `python -m covertype rollback`."""

import argparse
import os
import sys

from mlflow.exceptions import MlflowException

from covertype import registry
from covertype.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code, 1 with a message on standard error when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m covertype", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("rollback", help="put the previous Production version back in Production")
    parser.parse_args(arguments)
    # A person is waiting: with MLflow's own seven retries it takes minutes to say that the server is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

    try:
        now, before = registry.rollback(Settings())
    except (registry.RegistryError, MlflowException) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{now.name}: version {now.version} is Production again (was {before.version})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
