# The edge: where TLS is on, the one container that publishes ports (docs/decisions/0044).

locals {
  scheme = var.edge_tls ? "https" : "http"

  # The host's ports lead to a container by the first of its networks in alphabetical order that has a way out, so this one is
  # called before all those that the edge shares with services. It listens there alone.
  edge_networks = var.edge_tls ? { access = false } : {}
}

module "edge" {
  source = "../modules/service"
  count  = var.edge_tls ? 1 : 0

  name       = "edge"
  stack_name = local.stack_name
  image      = module.edge_image.image_id
  user       = local.users.edge
  memory_mb  = 256
  patience   = var.patience
  networks   = [for network in ["access", "airflow", "artifacts", "serving", "tracking"] : docker_network.this[network].name]
  aliases    = { (docker_network.this["access"].name) = "published" }

  ports = {
    5000 = var.mlflow_port
    8080 = var.airflow_port
    8503 = var.ui_port
    8989 = var.model_api_port
    9000 = var.minio_port
    9001 = var.minio_console_port
  }
  bind_address = var.bind_address

  secrets_dir = "${local.secrets}/edge"
  secrets     = ["certificate", "key"]

  healthcheck = ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8000"]

  # They publish the ports where TLS is off, and give them back first.
  depends_on = [module.airflow_api_server, module.minio, module.mlflow]
}
