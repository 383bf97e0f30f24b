# Which batch each group has reached.

resource "docker_volume" "data_api" {
  name = "${local.stack_name}-data-api"

  labels {
    label = "stack"
    value = local.stack_name
  }
}
