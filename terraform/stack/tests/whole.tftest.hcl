# The whole root module with a mock in the engine's place: tests/iac/test_terraform.py reads what becomes of it.

mock_provider "docker" {
  mock_resource "docker_container" {
    defaults = { exit_code = 0 }
  }
}

run "as_it_is" {}

run "with_tls" {
  variables {
    edge_names = "lab.example.org"
    edge_tls   = true
  }
}

run "otherwise" {
  variables {
    bind_address = "0.0.0.0"
    source_url   = "https://source.example.org/covertype"
  }
}
