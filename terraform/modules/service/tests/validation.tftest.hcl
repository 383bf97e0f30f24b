# Each variable that protects refuses its bad cases, before anything is planned. A run costs a start of the provider,
# so one run has a bad case of each of several variables: every one of them must be refused.

mock_provider "docker" {}

variables {
  name        = "example"
  stack_name  = "test"
  image       = "sha256:0000"
  memory_mb   = 128
  networks    = ["test-one"]
  user        = "10001:10001"
  healthcheck = ["true"]
}

run "more_than_a_container_may" {
  command = plan

  variables {
    environment = { MINIO_ROOT_PASSWORD = "word" }
    folders     = { "/engine" = "/var/run/docker.sock" }
    ports       = { 5000 = 70000 }
    tmpfs       = { "/run" = "rw,nosuid,size=16m" }
    user        = "0"
  }

  expect_failures = [
    var.environment,
    var.folders,
    var.ports,
    var.tmpfs,
    var.user,
  ]
}

run "less_than_a_container_needs" {
  command = plan

  variables {
    grace_seconds = 0
    memory_mb     = 16
    networks      = []
    patience      = 0
    secrets       = ["password"]
    tmpfs         = { "/run" = "rw,nosuid,nodev" }
  }

  expect_failures = [
    var.grace_seconds,
    var.memory_mb,
    var.networks,
    var.patience,
    var.secrets,
    var.tmpfs,
  ]
}

run "names_and_paths_of_another_form" {
  command = plan

  variables {
    folders    = { "/data" = "data" }
    name       = "data_api"
    ports      = { http = 5000 }
    stack_name = "Test"
    user       = "mysql"
    volumes    = { test-data = "data" }
  }

  expect_failures = [
    var.folders,
    var.name,
    var.ports,
    var.stack_name,
    var.user,
    var.volumes,
  ]
}

run "group_root" {
  command = plan

  variables {
    user = "10001:0"
  }

  expect_failures = [var.user]
}
