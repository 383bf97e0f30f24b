variable "airflow_port" {
  description = "Port of the host for Airflow's UI and REST API."
  type        = number
  default     = 8080

  validation {
    condition     = var.airflow_port > 0 && var.airflow_port < 65536
    error_message = "A port is between 1 and 65535."
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
    condition     = length(split(" ", var.dag_schedule)) == 5
    error_message = "dag_schedule is a cron expression of five fields."
  }
}

variable "debian_image" {
  description = "Image of Debian trixie that the stack's own images are built on."
  type        = string
  default     = "debian:trixie-slim"
}

variable "golang_image" {
  description = "Image with Go 1.24 or newer, which builds MinIO."
  type        = string
  default     = "golang:1.26-trixie"
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
    condition     = var.minio_console_port > 0 && var.minio_console_port < 65536
    error_message = "A port is between 1 and 65535."
  }
}

variable "minio_port" {
  description = "Port of the host for MinIO's S3 API."
  type        = number
  default     = 9000

  validation {
    condition     = var.minio_port > 0 && var.minio_port < 65536
    error_message = "A port is between 1 and 65535."
  }
}

variable "mlflow_port" {
  description = "Port of the host for MLflow."
  type        = number
  default     = 5000

  validation {
    condition     = var.mlflow_port > 0 && var.mlflow_port < 65536
    error_message = "A port is between 1 and 65535."
  }
}

variable "model_api_port" {
  description = "Port of the host for the model API, whose container Ansible owns."
  type        = number
  default     = 8989

  validation {
    condition     = var.model_api_port > 0 && var.model_api_port < 65536
    error_message = "A port is between 1 and 65535."
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
    condition     = alltrue([for database in var.mysql_databases : !contains([for grant in database.grants : upper(grant)], "ALL")])
    error_message = "Name the privileges that the user needs; ALL is not one of them."
  }
}

variable "mysql_image" {
  description = "Image of the MySQL servers, with the environment contract of mysql:9.7."
  type        = string
  default     = "mysql:9.7"
}

variable "postgres_image" {
  description = "Image of Airflow's metadata server, with the environment contract of postgres:17."
  type        = string
  default     = "postgres:17"
}

variable "source_url" {
  description = "URL of a data source elsewhere. Empty: the data-api of terraform/external, over its network."
  type        = string
  default     = ""

  validation {
    condition     = var.source_url == "" || can(regex("^https?://[^/]+", var.source_url))
    error_message = "source_url begins with http:// or https://."
  }
}

variable "state_dir" {
  description = "Folder of the host that Ansible keeps for this stack: secret files and DAGs. Empty: .stack/<name> in the project."
  type        = string
  default     = ""
}

variable "ui_port" {
  description = "Port of the host for the Streamlit page, whose container Ansible owns."
  type        = number
  default     = 8503

  validation {
    condition     = var.ui_port > 0 && var.ui_port < 65536
    error_message = "A port is between 1 and 65535."
  }
}
