"""A DAG of another id."""

from airflow.sdk import DAG

with DAG("another", schedule=None):
    pass
