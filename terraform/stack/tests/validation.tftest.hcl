# Each variable that protects refuses its bad case, before anything is planned.

mock_provider "docker" {}

run "airflow_port" {
  command = plan

  variables {
    airflow_port = 0
  }

  expect_failures = [var.airflow_port]
}

run "bind_address" {
  command = plan

  variables {
    bind_address = "localhost"
  }

  expect_failures = [var.bind_address]
}

run "ca_bundle" {
  command = plan

  variables {
    ca_bundle = "/absent"
  }

  expect_failures = [var.ca_bundle]
}

run "dag_schedule" {
  command = plan

  variables {
    dag_schedule = "hourly"
  }

  expect_failures = [var.dag_schedule]
}

run "group_number" {
  command = plan

  variables {
    group_number = 11
  }

  expect_failures = [var.group_number]
}

run "minio_bucket" {
  command = plan

  variables {
    minio_bucket = "My_Bucket"
  }

  expect_failures = [var.minio_bucket]
}

run "minio_console_port" {
  command = plan

  variables {
    minio_console_port = 70000
  }

  expect_failures = [var.minio_console_port]
}

run "minio_port" {
  command = plan

  variables {
    minio_port = -1
  }

  expect_failures = [var.minio_port]
}

run "mlflow_port" {
  command = plan

  variables {
    mlflow_port = 0
  }

  expect_failures = [var.mlflow_port]
}

run "model_api_port" {
  command = plan

  variables {
    model_api_port = 65536
  }

  expect_failures = [var.model_api_port]
}

run "source_url" {
  command = plan

  variables {
    source_url = "ftp://elsewhere"
  }

  expect_failures = [var.source_url]
}

run "ui_port" {
  command = plan

  variables {
    ui_port = 0
  }

  expect_failures = [var.ui_port]
}

run "all_privileges" {
  command = plan

  variables {
    mysql_databases = {
      mysql-data-store = { schema = "datadb", user = "admin", grants = ["ALL"] }
    }
  }

  expect_failures = [var.mysql_databases]
}
