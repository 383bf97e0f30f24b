# The one thing that the outside shares with the stack, which knows it by its name.

resource "docker_network" "source" {
  name = "${local.stack_name}-source"

  labels {
    label = "stack"
    value = local.stack_name
  }
}
