# MLflow: its schema is migrated to the end before its server starts.

locals {
  mlflow_asks  = var.mlflow_auth == "true" || (var.mlflow_auth == "auto" && (var.edge_tls || !startswith(var.bind_address, "127.")))
  mlflow_login = local.mlflow_asks ? { MLFLOW_AUTH_CONFIG_PATH = "/run/secrets/login.ini" } : {}

  # How else browsers call it.
  mlflow_names = concat(["${var.bind_address}:${var.mlflow_port}"], [for name in compact(split(",", var.edge_names)) : "${name}:${var.mlflow_port}"])

  mlflow_environment = merge(local.mlflow_edge, local.mlflow_login, {
    AWS_SHARED_CREDENTIALS_FILE        = "/run/secrets/aws-credentials"
    HOME                               = "/tmp"
    MLFLOW_ARTIFACTS_DESTINATION       = "s3://${var.minio_bucket}"
    MLFLOW_BACKEND_STORE_URI           = "mysql+pymysql://mysql-mlflow/${var.mysql_databases["mysql-mlflow"].schema}?read_default_file=/run/secrets/mysql.cnf"
    MLFLOW_DISABLE_TELEMETRY           = "true"
    MLFLOW_S3_ENDPOINT_URL             = "http://minio:9000"
    MLFLOW_SERVE_ARTIFACTS             = "true"
    MLFLOW_SERVER_ALLOWED_HOSTS        = join(",", concat(["mlflow:5000", "localhost:${var.mlflow_port}", "127.0.0.1:${var.mlflow_port}", "127.0.0.1:5000"], local.mlflow_names))
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION = "false" # eight consumers for features of language models, 1.8 GB
    MLFLOW_DISABLE_ENV_CREATION        = "true"
    MPLCONFIGDIR                       = "/tmp/matplotlib"
  })

  # From its own pages it takes more than questions; loopback it knows by itself.
  mlflow_edge = var.edge_tls ? { MLFLOW_SERVER_CORS_ALLOWED_ORIGINS = join(",", formatlist("https://%s", local.mlflow_names)) } : {}
}

module "mlflow_migrate" {
  source = "../modules/service"

  name       = "mlflow-migrate"
  stack_name = local.stack_name
  image      = module.service_image["mlflow"].image_id
  user       = local.users.mlflow
  memory_mb  = 768
  patience   = var.patience
  networks   = [docker_network.this["mlflow-db"].name]

  one_shot = true
  command  = ["python", "/opt/migrate.py"]
  environment = merge(
    { for key in ["HOME", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_DISABLE_TELEMETRY"] : key => local.mlflow_environment[key] },
    { CHECK = "false" },
  )
  secrets_dir = "${local.secrets}/mlflow"
  secrets     = ["mysql.cnf"]

  depends_on = [module.mysql_schema]
}

module "mlflow" {
  source = "../modules/service"

  name       = "mlflow"
  stack_name = local.stack_name
  image      = module.service_image["mlflow"].image_id
  user       = local.users.mlflow
  memory_mb  = 3072 # half of it at rest; /tmp counts too
  patience   = var.patience
  networks   = [for network in ["artifacts", "mlflow-db", "tracking"] : docker_network.this[network].name]

  ports        = var.edge_tls ? {} : { 5000 = var.mlflow_port }
  bind_address = var.bind_address

  environment = local.mlflow_environment
  secrets_dir = "${local.secrets}/mlflow"
  secrets     = concat(["aws-credentials", "mysql.cnf"], local.mlflow_asks ? ["airflow-password", "login.ini", "model-api-password"] : [])
  # Each artifact that comes or goes lies there whole: a model of all rows is some 400 MB, and several clients may ask at once.
  tmpfs = { "/tmp" = "rw,noexec,nosuid,nodev,size=2g,mode=1777" }

  healthcheck = ["healthcheck", "http://127.0.0.1:5000/health"]

  depends_on = [module.minio_bucket, module.mlflow_migrate]
}
