locals {
  # The workspace is the stack: its state and its name cannot disagree.
  stack_name = terraform.workspace == "default" ? "covertype" : terraform.workspace
  repository = "${path.module}/../.."
  state_dir  = var.state_dir != "" ? var.state_dir : abspath("${local.repository}/.stack/${local.stack_name}")
  secrets    = "${local.state_dir}/secrets"

  # Numeric users, the same as in the images and in the owners of the secret files (roles/secret_files/defaults).
  users = {
    airflow  = "50000:50000"
    edge     = "10008:10008"
    minio    = "10001:10001"
    mlflow   = "10002:10002"
    mysql    = "999:999"
    postgres = "999:999"
  }
}
