# A tag says what the image is made of. No engine: the provider is a mock.

mock_provider "docker" {}

variables {
  name       = "example"
  stack_name = "test"
  repository = "tests/project"
  dockerfile = "Dockerfile"
  sources    = ["source/**"]
  build_args = { BASE_IMAGE = "base:1" }
  ca_bundle  = "terraform.tf" # any file
}

run "as_it_is" {
  assert {
    condition     = can(regex("^test-example:[0-9a-f]{16}$", output.name))
    error_message = "An image is <stack>-<name> with a digest of 16 digits."
  }

  assert {
    condition     = one(docker_image.this.build).label == tomap({ stack = "test" })
    error_message = "The image carries the stack's label."
  }

  assert {
    condition     = docker_image.this.keep_locally
    error_message = "The image stays while Ansible's containers may run it."
  }

  assert {
    condition     = [for secret in one(docker_image.this.build).secrets : secret.id] == ["ca"]
    error_message = "Certificates come as a build secret, so that no layer holds them."
  }
}

run "the_same_again" {
  assert {
    condition     = output.name == run.as_it_is.name
    error_message = "The same files gave another tag."
  }
}

run "on_another_base" {
  variables {
    build_args = { BASE_IMAGE = "base:2" }
  }

  assert {
    condition     = output.name != run.as_it_is.name
    error_message = "Another base gave the same tag."
  }
}

run "with_a_file_less" {
  variables {
    sources = ["source/file"]
  }

  assert {
    condition     = output.name != run.as_it_is.name
    error_message = "Other files gave the same tag."
  }
}

run "a_pattern_without_a_file_is_refused" {
  command = plan

  variables {
    sources = ["source/**", "renamed/**"]
  }

  expect_failures = [docker_image.this]
}

run "bad_cases_are_refused" {
  command = plan

  variables {
    ca_bundle  = "/absent"
    name       = "data_api"
    stack_name = "Test"
  }

  expect_failures = [var.ca_bundle, var.name, var.stack_name]
}
