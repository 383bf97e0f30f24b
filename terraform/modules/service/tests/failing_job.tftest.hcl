# A job that ends badly fails the apply.

mock_provider "docker" {
  mock_resource "docker_container" {
    defaults = { exit_code = 3 }
  }
}

run "a_job_that_fails_fails_the_apply" {
  variables {
    name       = "example"
    stack_name = "test"
    image      = "sha256:0000"
    memory_mb  = 128
    networks   = ["test-one"]
    user       = "10001:10001"
    one_shot   = true
  }

  expect_failures = [docker_container.this]
}
