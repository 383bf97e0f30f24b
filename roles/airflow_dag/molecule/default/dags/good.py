"""A DAG that does nothing."""

from airflow.sdk import DAG

with DAG("probe", schedule=None):
    pass
