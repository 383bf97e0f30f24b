# Each variable that protects refuses its bad cases, before anything is planned. A run costs a start of the provider,
# so one run has a bad case of each of several variables: every one of them must be refused.

mock_provider "docker" {}

run "too_much" {
  command = plan

  variables {
    batch_fraction  = 1.5
    bind_address    = "0.0.0.256"
    ca_bundle       = "/absent"
    data_api_port   = 65536
    debian_image    = "debian:latest"
    min_update_time = -1
    sample_seed     = "-1"
  }

  expect_failures = [
    var.batch_fraction,
    var.bind_address,
    var.ca_bundle,
    var.data_api_port,
    var.debian_image,
    var.min_update_time,
    var.sample_seed,
  ]
}

run "too_little" {
  command = plan

  variables {
    batch_fraction = 0
    bind_address   = "localhost"
    data_api_port  = 0
    debian_image   = "debian"
    patience       = 0
  }

  expect_failures = [var.batch_fraction, var.bind_address, var.data_api_port, var.debian_image, var.patience]
}
