# Each variable that protects refuses its bad cases, before anything is planned. A run costs a start of the provider,
# so one run has a bad case of each of several variables: every one of them must be refused.

mock_provider "docker" {}

run "ports_out_of_range" {
  command = plan

  variables {
    airflow_port       = 0
    minio_console_port = 70000
    minio_port         = -1
    mlflow_port        = 5000.5
    model_api_port     = 65536
  }

  expect_failures = [
    var.airflow_port,
    var.minio_console_port,
    var.minio_port,
    var.mlflow_port,
    var.model_api_port,
  ]
}

run "two_services_on_one_port" {
  command = plan

  variables {
    mlflow_port = 8080
  }

  expect_failures = [var.ui_port]
}

run "no_versions_and_another_server" {
  command = plan

  variables {
    ui_port        = 0
    debian_image   = "debian"
    golang_image   = "registry.example.org:5000/golang:latest"
    mysql_image    = "mysql :9.7"
    postgres_image = "Postgres:17"
    mysql_databases = {
      mysql-other = { schema = "other", user = "other", grants = ["SELECT"] }
    }
  }

  expect_failures = [
    var.debian_image,
    var.golang_image,
    var.mysql_image,
    var.postgres_image,
    var.mysql_databases,
    var.ui_port,
  ]
}

run "words_that_are_none_of_it" {
  command = plan

  variables {
    bind_address = "localhost"
    ca_bundle    = "/absent"
    dag_schedule = "hourly"
    edge_names   = "lab.example.org; return 200"
    group_number = 11
    minio_bucket = "My_Bucket"
    mlflow_auth  = "yes"
    mysql_databases = {
      mysql-data-store = { schema = "datadb", user = "admin", grants = ["ALL"] }
      mysql-mlflow     = { schema = "mlflow", user = "mlflow", grants = ["SELECT"] }
    }
    patience            = 1.5
    promote_policy      = "sometimes"
    retention_days      = 0
    scheduler_memory_mb = 512
    source_url          = "ftp://elsewhere"
    state_dir           = ".stack"
  }

  expect_failures = [
    var.bind_address,
    var.ca_bundle,
    var.dag_schedule,
    var.edge_names,
    var.group_number,
    var.minio_bucket,
    var.mlflow_auth,
    var.mysql_databases,
    var.patience,
    var.promote_policy,
    var.retention_days,
    var.scheduler_memory_mb,
    var.source_url,
    var.state_dir,
  ]
}

run "four_fields_a_password_and_a_statement" {
  command = plan

  variables {
    dag_schedule = "*/6 * * *"
    mysql_databases = {
      mysql-data-store = { schema = "datadb`; DROP", user = "admin", grants = ["SELECT"] }
      mysql-mlflow     = { schema = "mlflow", user = "mlflow", grants = ["SELECT"] }
    }
    source_url = "https://user@elsewhere/covertype"
  }

  expect_failures = [var.dag_schedule, var.mysql_databases, var.source_url]
}

run "five_words_and_a_quote" {
  command = plan

  variables {
    dag_schedule = "every six minutes of day"
    mysql_databases = {
      mysql-data-store = { schema = "datadb", user = "admin'", grants = ["SELECT"] }
      mysql-mlflow     = { schema = "mlflow", user = "mlflow", grants = ["SELECT"] }
    }
  }

  expect_failures = [var.dag_schedule, var.mysql_databases]
}

run "no_privilege" {
  command = plan

  variables {
    mysql_databases = {
      mysql-data-store = { schema = "datadb", user = "admin", grants = [] }
      mysql-mlflow     = { schema = "mlflow", user = "mlflow", grants = ["SELECT"] }
    }
  }

  expect_failures = [var.mysql_databases]
}
