# The two MySQL servers with their schemas and users, and Airflow's metadata server.

locals {
  mysql_networks = {
    mysql-data-store = ["data", "recording"]
    mysql-mlflow     = ["mlflow-db"]
  }
}

module "mysql" {
  source   = "../modules/service"
  for_each = var.mysql_databases

  name       = each.key
  stack_name = local.stack_name
  image      = docker_image.mysql.image_id
  user       = local.users.mysql
  memory_mb  = 768
  patience   = var.patience
  networks   = [for network in local.mysql_networks[each.key] : docker_network.this[network].name]
  volumes    = { (docker_volume.this[each.key].name) = "/var/lib/mysql" }

  command = [
    "mysqld",
    "--character-set-server=utf8mb4",
    "--disable-log-bin", # one server without replicas: no log of changes to keep, and MLflow's migrations may create functions
    "--innodb-buffer-pool-size=128M",
    "--local-infile=OFF",
    "--mysqlx=OFF",
    "--performance-schema=OFF", # 200 MB of memory for figures that nobody reads here
  ]
  environment   = { MYSQL_ROOT_PASSWORD_FILE = "/run/secrets/root-password" }
  secrets_dir   = "${local.secrets}/${each.key}"
  secrets       = ["root-password"]
  tmpfs         = { for path in ["/run/mysqld", "/var/lib/mysql-files"] : path => "rw,noexec,nosuid,nodev,size=16m,uid=999,gid=999,mode=0750" }
  grace_seconds = 60

  # Over TCP, since the server that makes the data folder listens on its socket alone.
  healthcheck = ["mysqladmin", "ping", "--silent", "--protocol=tcp", "--host=127.0.0.1", "--user=none"]
}

module "mysql_schema" {
  source   = "../modules/service"
  for_each = var.mysql_databases

  name       = "${each.key}-schema"
  stack_name = local.stack_name
  image      = docker_image.mysql.image_id
  user       = local.users.mysql
  memory_mb  = 128
  patience   = var.patience
  networks   = [docker_network.this[each.key == "mysql-data-store" ? "data" : "mlflow-db"].name]

  one_shot    = true
  entrypoint  = ["bash", "-c", file("${path.module}/jobs/mysql-schema.sh")]
  command     = []
  environment = { CHECK = "false", SERVER = each.key, SCHEMA = each.value.schema, SCHEMA_USER = each.value.user, GRANTS = "${join(", ", each.value.grants)} ON *" }
  secrets_dir = "${local.secrets}/${each.key}"
  secrets     = ["root.cnf", "${each.value.user}-password"]

  depends_on = [module.mysql]
}

# The model API writes what it answers into two tables of its own, makes them, and reads the others for those who ask it
# how the pipeline is doing (docs/decisions/0041).
module "mysql_model_api" {
  source = "../modules/service"

  name       = "mysql-data-store-model-api"
  stack_name = local.stack_name
  image      = docker_image.mysql.image_id
  user       = local.users.mysql
  memory_mb  = 128
  patience   = var.patience
  networks   = [docker_network.this["data"].name]

  one_shot   = true
  entrypoint = ["bash", "-c", file("${path.module}/jobs/mysql-schema.sh")]
  command    = []
  environment = {
    CHECK       = "false"
    SERVER      = "mysql-data-store"
    SCHEMA      = var.mysql_databases["mysql-data-store"].schema
    SCHEMA_USER = "model-api"
    GRANTS      = "SELECT ON *; CREATE, INSERT ON predictions; CREATE, INSERT, UPDATE ON feedback"
  }
  secrets_dir = "${local.secrets}/mysql-data-store"
  secrets     = ["root.cnf", "model-api-password"]

  depends_on = [module.mysql_schema]
}

module "airflow_db" {
  source = "../modules/service"

  name       = "airflow-db"
  stack_name = local.stack_name
  image      = docker_image.postgres.image_id
  user       = local.users.postgres
  memory_mb  = 512
  patience   = var.patience
  networks   = [docker_network.this["airflow-db"].name]
  volumes    = { (docker_volume.this["airflow-db"].name) = "/var/lib/postgresql/data" }

  environment = {
    POSTGRES_DB            = "airflow"
    POSTGRES_PASSWORD_FILE = "/run/secrets/password"
    POSTGRES_USER          = "airflow"
  }
  secrets_dir   = "${local.secrets}/airflow-db"
  secrets       = ["password"]
  tmpfs         = { "/run/postgresql" = "rw,noexec,nosuid,nodev,size=16m,uid=999,gid=999,mode=0750" }
  grace_seconds = 60

  # Over TCP, since the server that makes the cluster listens on its socket alone.
  healthcheck = ["pg_isready", "--quiet", "--host=127.0.0.1", "--username=airflow", "--dbname=airflow"]
}
