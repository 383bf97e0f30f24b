# MinIO, the bucket for MLflow's artifacts, and the one user that may touch it.

module "minio" {
  source = "../modules/service"

  name       = "minio"
  stack_name = local.stack_name
  image      = module.minio_image.image_id
  user       = local.users.minio
  memory_mb  = 768
  patience   = var.patience
  networks   = [docker_network.this["artifacts"].name]
  volumes    = { (docker_volume.this["minio"].name) = "/data" }

  ports        = var.edge_tls ? {} : { 9000 = var.minio_port, 9001 = var.minio_console_port }
  bind_address = var.bind_address

  environment = {
    GOMEMLIMIT               = "256MiB" # the collector's aim, well below the container's limit
    HOME                     = "/tmp"
    MINIO_ROOT_PASSWORD_FILE = "/run/secrets/root-password"
    MINIO_ROOT_USER          = "admin"
  }
  secrets_dir = "${local.secrets}/minio"
  secrets     = ["root-password"]

  healthcheck = ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:9000/minio/health/ready"]
}

module "minio_bucket" {
  source = "../modules/service"

  name       = "minio-bucket"
  stack_name = local.stack_name
  image      = module.minio_image.image_id
  user       = local.users.minio
  memory_mb  = 256
  patience   = var.patience
  networks   = [docker_network.this["artifacts"].name]

  one_shot    = true
  entrypoint  = ["bash", "-c", file("${path.module}/jobs/minio-bucket.sh")]
  command     = []
  environment = { BUCKET = var.minio_bucket, CHECK = "false", HOME = "/tmp", RETENTION_DAYS = tostring(var.retention_days) }
  secrets_dir = "${local.secrets}/minio"
  secrets     = ["mlflow-secret-key", "root-password"]

  depends_on = [module.minio]
}
