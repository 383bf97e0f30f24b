# Airflow: metadata migrated and administrator made by a job, then its three services.

locals {
  # What Airflow itself gives up after, longer on a slow machine: its defaults, times patience.
  airflow_waits = {
    for name, seconds in {
      API__WORKER_TIMEOUT                         = 120
      CORE__DAGBAG_IMPORT_TIMEOUT                 = 30
      DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT   = 50
      DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD       = 30
      DAG_PROCESSOR__STALE_DAG_THRESHOLD          = 50
      SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD = 30
      SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT  = 300
      SCHEDULER__TASK_QUEUED_TIMEOUT              = 600
      WORKERS__EXECUTION_API_TIMEOUT              = 5
    } : "AIRFLOW__${name}" => tostring(seconds * var.patience) if var.patience > 1
  }

  airflow_environment = merge(local.airflow_waits, {
    AIRFLOW__API_AUTH__JWT_SECRET_CMD                 = "cat /run/secrets/jwt-secret"
    AIRFLOW__API__SECRET_KEY_CMD                      = "cat /run/secrets/api-secret-key"
    AIRFLOW__API__WORKERS                             = "1"
    AIRFLOW__CORE__AUTH_MANAGER                       = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL           = "http://airflow-api-server:8080/execution/"
    AIRFLOW__CORE__EXECUTOR                           = "LocalExecutor"
    AIRFLOW__CORE__FERNET_KEY_CMD                     = "cat /run/secrets/fernet-key"
    AIRFLOW__CORE__LOAD_EXAMPLES                      = "False"
    AIRFLOW__CORE__PARALLELISM                        = "2"
    AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL = "30"
    AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL          = "5" # a new file is waited for by `make up`
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN               = "postgresql+psycopg2://airflow@airflow-db/airflow?passfile=/run/secrets/pgpass"
    AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK           = "True"
    AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL = "30" # a scheduler that was killed and is back at once finds its tasks in a minute, not in five
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED           = "False"
    HOME                                              = "/tmp"
  })

  # What the tasks of the DAGs read: src/covertype/settings.py holds the other defaults.
  task_environment = {
    COVERTYPE_AIRFLOW_DATABASE = local.airflow_environment.AIRFLOW__DATABASE__SQL_ALCHEMY_CONN # for the upkeep of its history
    COVERTYPE_GROUP_NUMBER     = tostring(var.group_number)
    COVERTYPE_PATIENCE         = tostring(var.patience)
    COVERTYPE_POLICY           = var.promote_policy
    COVERTYPE_RETENTION_DAYS   = tostring(var.retention_days)
    COVERTYPE_SCHEDULE         = var.dag_schedule
    COVERTYPE_SOURCE_URL       = var.source_url != "" ? var.source_url : "http://data-api:8000"
    COVERTYPE_TRACKING_URI     = "http://mlflow:5000"

    # Artifacts travel through MLflow: the tasks have no way to MinIO, which MLflow's clients would else be sent to.
    MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD = "false"
    MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD   = "false"
  }

  airflow_secrets = ["api-secret-key", "fernet-key", "jwt-secret", "pgpass"]
}

module "airflow_migrate" {
  source = "../modules/service"

  name       = "airflow-migrate"
  stack_name = local.stack_name
  image      = module.service_image["airflow"].image_id
  user       = local.users.airflow
  memory_mb  = 1024
  patience   = var.patience
  networks   = [docker_network.this["airflow-db"].name]

  one_shot = true
  command  = ["python", "/opt/bootstrap.py"]
  environment = merge(local.airflow_environment, {
    AIRFLOW_ADMIN_PASSWORD_FILE = "/run/secrets/airflow-password"
    AIRFLOW_ADMIN_USER          = "airflow"
    CHECK                       = "false"
  })
  secrets_dir = "${local.secrets}/airflow"
  secrets     = concat(local.airflow_secrets, ["airflow-password"])

  depends_on = [module.airflow_db]
}

module "airflow_api_server" {
  source = "../modules/service"

  name       = "airflow-api-server"
  stack_name = local.stack_name
  image      = module.service_image["airflow"].image_id
  user       = local.users.airflow
  memory_mb  = 1024
  patience   = var.patience
  networks   = [for network in ["airflow", "airflow-db"] : docker_network.this[network].name]
  volumes    = { (docker_volume.this["airflow-logs"].name) = "/opt/airflow/logs" }

  ports        = var.edge_tls ? {} : { 8080 = var.airflow_port }
  bind_address = var.bind_address

  # Behind the edge it is told of the caller's address, and that cookies are for HTTPS alone. It knows addresses and no names, and the
  # edge's is not known before it runs; whoever else is on this network has Airflow's password anyway.
  command     = concat(["airflow", "api-server"], var.edge_tls ? ["--proxy-headers"] : [])
  environment = merge(local.airflow_environment, var.edge_tls ? { FORWARDED_ALLOW_IPS = "*" } : {})
  secrets_dir = "${local.secrets}/airflow"
  secrets     = local.airflow_secrets

  healthcheck = ["healthcheck", "http://127.0.0.1:8080/api/v2/version"]

  depends_on = [module.airflow_migrate]
}

module "airflow_scheduler" {
  source = "../modules/service"

  name       = "airflow-scheduler"
  stack_name = local.stack_name
  image      = module.service_image["airflow"].image_id
  user       = local.users.airflow
  memory_mb  = var.scheduler_memory_mb # tasks run here
  patience   = var.patience
  networks = concat(
    [for network in ["airflow", "airflow-db", "data", "tracking"] : docker_network.this[network].name],
    local.source_networks,
  )
  # MLflow's client finds its user and password in the second one, by itself.
  folders = merge(
    { "/opt/airflow/dags" = "${local.state_dir}/dags" },
    local.mlflow_asks ? { "/tmp/.mlflow" = "${local.secrets}/airflow/.mlflow" } : {},
  )
  volumes = { (docker_volume.this["airflow-logs"].name) = "/opt/airflow/logs" }

  command     = ["airflow", "scheduler"]
  environment = merge(local.airflow_environment, local.task_environment)
  secrets_dir = "${local.secrets}/airflow"
  secrets     = local.airflow_secrets
  tmpfs       = { "/tmp" = "rw,nosuid,nodev,size=2g,mode=1777" }

  grace_seconds = 60
  healthcheck   = ["healthcheck", "http://127.0.0.1:8974/health"]

  depends_on = [module.airflow_api_server, module.mlflow, module.mysql_schema]
}

module "airflow_dag_processor" {
  source = "../modules/service"

  name       = "airflow-dag-processor"
  stack_name = local.stack_name
  image      = module.service_image["airflow"].image_id
  user       = local.users.airflow
  memory_mb  = 768
  patience   = var.patience
  networks   = [for network in ["airflow", "airflow-db"] : docker_network.this[network].name]
  folders    = { "/opt/airflow/dags" = "${local.state_dir}/dags" }
  volumes    = { (docker_volume.this["airflow-logs"].name) = "/opt/airflow/logs" }

  command     = ["airflow", "dag-processor"]
  environment = merge(local.airflow_environment, local.task_environment)
  secrets_dir = "${local.secrets}/airflow"
  secrets     = local.airflow_secrets

  healthcheck = ["healthcheck-component", "dag_processor"]

  depends_on = [module.airflow_api_server]
}
