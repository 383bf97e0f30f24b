variable "airflow_port" {
  description = "Port of the host for Airflow's UI and REST API."
  type        = number
  default     = 8080

  validation {
    condition     = var.airflow_port == floor(var.airflow_port) && var.airflow_port > 0 && var.airflow_port < 65536
    error_message = "airflow_port is a port: a whole number from 1 to 65535."
  }
}

variable "bind_address" {
  description = "Address of the host on which ports are published. Anything but loopback shows the services to the network."
  type        = string
  default     = "127.0.0.1"

  validation {
    condition     = can(cidrhost("${var.bind_address}/32", 0))
    error_message = "bind_address is an IPv4 address, such as 127.0.0.1."
  }
}

variable "ca_bundle" {
  description = "File of the host with the certificates that image builds trust when they fetch packages."
  type        = string
  default     = "/etc/ssl/certs/ca-certificates.crt"

  validation {
    condition     = fileexists(var.ca_bundle)
    error_message = "ca_bundle names no file: install the package ca-certificates, or name your own bundle."
  }
}

variable "dag_schedule" {
  description = "Cron expression (UTC) of DAG_p2. Its slots lie a little further apart than the source's window."
  type        = string
  default     = "*/6 * * * *"

  validation {
    condition     = can(regex("^([0-9*/,-]+ ){3}[0-9A-Za-z*/,-]+ [0-9A-Za-z*/,-]+$", var.dag_schedule))
    error_message = "dag_schedule is a cron expression of five fields, such as */6 * * * *."
  }
}

variable "debian_image" {
  description = "Image of Debian trixie that the stack's own images are built on."
  type        = string
  default     = "debian:trixie-slim"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/:-]*(:[\\w][\\w.-]*|@sha256:[0-9a-f]{64})$", var.debian_image)) && !endswith(var.debian_image, ":latest")
    error_message = "debian_image is an image's name with a tag or a digest, such as debian:trixie-slim; latest is no version."
  }
}

variable "edge_names" {
  description = "Further names and addresses under which the edge is opened, with commas between them: for MLflow, which knows its own."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9.-]+(,[A-Za-z0-9.-]+)*)?$", var.edge_names))
    error_message = "edge_names are host names and IPv4 addresses with commas between them, such as lab.example.org,192.0.2.7."
  }
}

variable "edge_tls" {
  description = "Whether one reverse proxy publishes everything over HTTPS, and the services themselves publish nothing."
  type        = bool
  default     = false
}

variable "golang_image" {
  description = "Image with Go 1.24 or newer, which builds MinIO."
  type        = string
  default     = "golang:1.26-trixie"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/:-]*(:[\\w][\\w.-]*|@sha256:[0-9a-f]{64})$", var.golang_image)) && !endswith(var.golang_image, ":latest")
    error_message = "golang_image is an image's name with a tag or a digest, such as golang:1.26-trixie; latest is no version."
  }
}

variable "group_number" {
  description = "Group under which the data source is asked."
  type        = number
  default     = 1

  validation {
    condition     = contains(range(1, 11), var.group_number)
    error_message = "The source knows the groups 1 to 10."
  }
}

variable "minio_bucket" {
  description = "Bucket for MLflow's artifacts; versioned, and open to MLflow's own user alone."
  type        = string
  default     = "mlflows3"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.minio_bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "minio_console_port" {
  description = "Port of the host for MinIO's console."
  type        = number
  default     = 9001

  validation {
    condition     = var.minio_console_port == floor(var.minio_console_port) && var.minio_console_port > 0 && var.minio_console_port < 65536
    error_message = "minio_console_port is a port: a whole number from 1 to 65535."
  }
}

variable "minio_port" {
  description = "Port of the host for MinIO's S3 API."
  type        = number
  default     = 9000

  validation {
    condition     = var.minio_port == floor(var.minio_port) && var.minio_port > 0 && var.minio_port < 65536
    error_message = "minio_port is a port: a whole number from 1 to 65535."
  }
}

variable "mlflow_auth" {
  description = "Whether MLflow asks for a login: true, false or auto, which is true for anything but plain HTTP on loopback."
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "true", "false"], var.mlflow_auth)
    error_message = "mlflow_auth is auto, true or false."
  }
}

variable "mlflow_port" {
  description = "Port of the host for MLflow."
  type        = number
  default     = 5000

  validation {
    condition     = var.mlflow_port == floor(var.mlflow_port) && var.mlflow_port > 0 && var.mlflow_port < 65536
    error_message = "mlflow_port is a port: a whole number from 1 to 65535."
  }
}

variable "model_api_port" {
  description = "Port of the host for the model API, whose container Ansible owns."
  type        = number
  default     = 8989

  validation {
    condition     = var.model_api_port == floor(var.model_api_port) && var.model_api_port > 0 && var.model_api_port < 65536
    error_message = "model_api_port is a port: a whole number from 1 to 65535."
  }
}

variable "mysql_databases" {
  description = "The MySQL servers by service name: the schema, its user and what that user may do in the schema."
  type = map(object({
    schema = string
    user   = string
    grants = list(string)
  }))
  default = {
    mysql-data-store = {
      schema = "datadb"
      user   = "admin"
      grants = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "INDEX", "REFERENCES"]
    }
    mysql-mlflow = {
      schema = "mlflow"
      user   = "mlflow"
      grants = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "TRIGGER"]
    }
  }

  validation {
    condition     = toset(keys(var.mysql_databases)) == toset(["mysql-data-store", "mysql-mlflow"])
    error_message = "mysql_databases has the keys mysql-data-store and mysql-mlflow: each has its network, volume and secret files."
  }

  validation {
    condition     = alltrue([for database in var.mysql_databases : alltrue([for name in [database.schema, database.user] : can(regex("^[a-z][a-z0-9_]{0,31}$", name))])])
    error_message = "A schema and a user of MySQL have 1 to 32 lower-case letters, digits and underscores, a letter first: they stand in statements."
  }

  validation {
    condition = alltrue([for database in var.mysql_databases : length(database.grants) > 0 && length(setsubtract(database.grants, [
      "ALTER", "CREATE", "DELETE", "DROP", "INDEX", "INSERT", "LOCK TABLES", "REFERENCES", "SELECT", "TRIGGER", "UPDATE",
    ])) == 0])
    error_message = "Name the privileges that the user needs on its own tables, in capitals; ALL and GRANT OPTION are none of them."
  }
}

variable "mysql_image" {
  description = "Image of the MySQL servers, with the environment contract of mysql:9.7."
  type        = string
  default     = "mysql:9.7"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/:-]*(:[\\w][\\w.-]*|@sha256:[0-9a-f]{64})$", var.mysql_image)) && !endswith(var.mysql_image, ":latest")
    error_message = "mysql_image is an image's name with a tag or a digest, such as mysql:9.7; latest is no version."
  }
}

variable "patience" {
  description = "Factor by which every wait is longer than usual: 1 for a real processor, 10 or more for an emulated one."
  type        = number
  default     = 1

  validation {
    condition     = var.patience == floor(var.patience) && var.patience >= 1
    error_message = "patience is a whole number, 1 or more."
  }
}

variable "postgres_image" {
  description = "Image of Airflow's metadata server, with the environment contract of postgres:17."
  type        = string
  default     = "postgres:17"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/:-]*(:[\\w][\\w.-]*|@sha256:[0-9a-f]{64})$", var.postgres_image)) && !endswith(var.postgres_image, ":latest")
    error_message = "postgres_image is an image's name with a tag or a digest, such as postgres:17; latest is no version."
  }
}

variable "prebuilt" {
  description = "Whether the images are there already, loaded from a bundle: they are then taken by their names and not built."
  type        = bool
  default     = false
}

variable "promote_policy" {
  description = "Who puts a better model into Production: auto (the run), manual (a person, by approving it) or off (nobody)."
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "manual", "off"], var.promote_policy)
    error_message = "promote_policy is auto, manual or off."
  }
}

variable "retention_days" {
  description = "Days for which MLflow runs without a registered version, Airflow's history and deleted artifacts are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.retention_days >= 1 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days is a whole number of days, 1 or more."
  }
}

variable "scheduler_memory_mb" {
  description = "Memory limit in MiB of the scheduler, in which the tasks train; see docs/experiments.md for what they need."
  type        = number
  default     = 4096

  validation {
    condition     = var.scheduler_memory_mb >= 2048
    error_message = "With less than 2048 MiB no model can be trained."
  }
}

variable "source_url" {
  description = "URL of a data source elsewhere. Empty: the data-api of terraform/external, over its network."
  type        = string
  default     = ""

  validation {
    condition     = var.source_url == "" || can(regex("^https?://[^/@\\s]+(/[^@\\s]*)?$", var.source_url))
    error_message = "source_url begins with http:// or https:// and holds no user or password: the state and the container's environment show it."
  }
}

variable "state_dir" {
  description = "Folder of the host that Ansible keeps for this stack: secret files and DAGs. Empty: .stack/<name> in the project."
  type        = string
  default     = ""

  validation {
    condition     = var.state_dir == "" || startswith(var.state_dir, "/")
    error_message = "state_dir is an absolute path: the engine mounts its files."
  }
}

variable "ui_port" {
  description = "Port of the host for the Streamlit page, whose container Ansible owns."
  type        = number
  default     = 8503

  validation {
    condition     = var.ui_port == floor(var.ui_port) && var.ui_port > 0 && var.ui_port < 65536
    error_message = "ui_port is a port: a whole number from 1 to 65535."
  }

  validation {
    condition = length(distinct([
      var.airflow_port, var.minio_console_port, var.minio_port, var.mlflow_port, var.model_api_port, var.ui_port,
    ])) == 6
    error_message = "Two services share a port of the host; give each one of its own."
  }
}
