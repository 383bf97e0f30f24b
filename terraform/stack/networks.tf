# One network per conversation, so that a service reaches only what it needs. Those of the databases have no way out.

resource "docker_network" "this" {
  for_each = merge(local.edge_networks, {
    airflow    = false # tasks and the DAG processor's healthcheck → airflow-api-server; tasks leave through it to a remote source
    airflow-db = true  # Airflow's parts → airflow-db
    artifacts  = false # MLflow → MinIO
    data       = true  # tasks → mysql-data-store
    mlflow-db  = true  # MLflow → mysql-mlflow
    recording  = true  # model-api → mysql-data-store
    serving    = false # ui → model-api
    tracking   = false # tasks and model-api → MLflow
  })

  name     = "${local.stack_name}-${each.key}"
  internal = each.value

  labels {
    label = "stack"
    value = local.stack_name
  }
}

# The world outside the stack has a life of its own (terraform/external); only its network is shared. It is named
# here and not looked up, so that the stack can be planned and destroyed while the outside is away.
locals {
  source_networks = var.source_url == "" ? ["${local.stack_name}-source"] : []
}
