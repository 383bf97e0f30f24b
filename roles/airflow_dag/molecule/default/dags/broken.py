"""A DAG file that cannot be imported."""

from airflow.sdk import NothingOfThisName  # noqa: F401
