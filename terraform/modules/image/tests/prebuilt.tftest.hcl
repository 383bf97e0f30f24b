# An image that a bundle brought has the name that a build would give it. No engine: the provider is a mock.

mock_provider "docker" {}

variables {
  name       = "example"
  stack_name = "test"
  repository = "tests/project"
  dockerfile = "Dockerfile"
  sources    = ["source/**"]
  build_args = { BASE_IMAGE = "base:1" }
  ca_bundle  = "terraform.tf" # any file
  prebuilt   = true
}

run "loaded" {
  assert {
    condition     = length(docker_image.this.build) == 0
    error_message = "An image that is there already was built."
  }
}

run "later_without_the_bundle" {
  variables {
    prebuilt = false
  }

  assert {
    condition     = length(docker_image.this.build) == 0
    error_message = "An image that a bundle brought was built anew."
  }

  assert {
    condition     = output.name == run.loaded.name
    error_message = "A build gives another name than the bundle's."
  }
}
