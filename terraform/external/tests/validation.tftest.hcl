# Each variable that protects refuses its bad case, before anything is planned.

mock_provider "docker" {}

run "batch_fraction" {
  command = plan

  variables {
    batch_fraction = 1.5
  }

  expect_failures = [var.batch_fraction]
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

run "data_api_port" {
  command = plan

  variables {
    data_api_port = 0
  }

  expect_failures = [var.data_api_port]
}

run "min_update_time" {
  command = plan

  variables {
    min_update_time = -1
  }

  expect_failures = [var.min_update_time]
}
