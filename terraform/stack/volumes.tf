# All that outlives a container.

resource "docker_volume" "this" {
  for_each = toset([
    "airflow-db",
    "airflow-logs",
    "minio",
    "model-api", # Ansible mounts it
    "mysql-data-store",
    "mysql-mlflow",
  ])

  name = "${local.stack_name}-${each.key}"

  labels {
    label = "stack"
    value = local.stack_name
  }
}
