# What holds for every container, since each is made by this module. No engine: the provider is a mock.

mock_provider "docker" {
  mock_resource "docker_container" {
    defaults = { exit_code = 0 }
  }
}

variables {
  name        = "example"
  stack_name  = "test"
  image       = "sha256:0000"
  memory_mb   = 128
  networks    = ["test-one"]
  user        = "10001:10001"
  healthcheck = ["true"]
}

run "a_service_runs_with_the_least_it_needs" {
  variables {
    ports = { 5000 = 15000 }
  }

  assert {
    condition     = docker_container.this.name == "test-example" && one(docker_container.this.networks_advanced).aliases == toset(["example"])
    error_message = "The container is <stack>-<service> and answers to <service>."
  }

  assert {
    condition     = docker_container.this.read_only && one(docker_container.this.capabilities).drop == toset(["ALL"]) && one(docker_container.this.capabilities).add == null
    error_message = "The root file system is read-only and every capability is dropped."
  }

  assert {
    condition     = contains(docker_container.this.security_opts, "no-new-privileges:true") && docker_container.this.privileged != true
    error_message = "No process gains privileges."
  }

  assert {
    condition     = docker_container.this.memory == 128 && docker_container.this.memory_swap == 128
    error_message = "Memory has a limit, and no swap beyond it."
  }

  assert {
    condition     = docker_container.this.restart == "unless-stopped" && docker_container.this.wait && docker_container.this.destroy_grace_seconds > 0
    error_message = "A service comes back with the engine, is waited for, and has a grace at its stop."
  }

  assert {
    condition     = one(docker_container.this.healthcheck).test[0] == "CMD"
    error_message = "A service has a healthcheck that runs no shell."
  }

  assert {
    condition     = [for port in docker_container.this.ports : [port.ip, port.internal, port.external]] == [["127.0.0.1", 5000, 15000]]
    error_message = "Only declared ports are published, on loopback."
  }

  assert {
    condition     = contains([for label in docker_container.this.labels : "${label.label}=${label.value}"], "stack=test")
    error_message = "The container carries the stack's label."
  }

  assert {
    condition     = docker_container.this.log_opts["max-size"] == "10m"
    error_message = "Logs are rotated."
  }
}

run "a_slow_machine_is_waited_for_longer" {
  variables {
    patience = 40
  }

  assert {
    condition     = docker_container.this.wait_timeout == 12000
    error_message = "The wait for a healthy service is stretched."
  }

  assert {
    condition     = [for check in docker_container.this.healthcheck : [check.interval, check.timeout, check.start_period]] == [["3m20s", "6m40s", "1h20m0s"]]
    error_message = "The times of the healthcheck are stretched, in the engine's own way of writing them: any other is a difference at every plan."
  }
}

run "a_job_ends_and_is_not_restarted" {
  variables {
    one_shot    = true
    healthcheck = null
  }

  assert {
    condition     = docker_container.this.restart == "no" && docker_container.this.must_run == false && docker_container.this.attach
    error_message = "A job is attached to until it ends, once."
  }

  assert {
    condition     = contains([for label in docker_container.this.labels : "${label.label}=${label.value}"], "role=job")
    error_message = "A job is labelled, so that a failed one is found."
  }
}

run "secrets_are_files_that_the_state_knows_by_path" {
  variables {
    secrets_dir = "tests/secrets"
    secrets     = ["password"]
  }

  assert {
    condition     = [for mount in docker_container.this.mounts : [mount.type, mount.target, mount.read_only]] == [["bind", "/run/secrets/password", true]]
    error_message = "A secret is mounted read-only under /run/secrets."
  }

  assert {
    condition     = !strcontains(jsonencode(docker_container.this), trimspace(file("tests/secrets/password")))
    error_message = "The value of a secret stands in an attribute."
  }
}

run "a_missing_secret_is_refused" {
  command = plan

  variables {
    secrets_dir = "tests/secrets"
    secrets     = ["absent"]
  }

  expect_failures = [docker_container.this]
}

run "a_service_without_a_healthcheck_is_refused" {
  command = plan

  variables {
    healthcheck = null
  }

  expect_failures = [docker_container.this]
}
