locals {
  # The workspace is the stack: its state and its name cannot disagree.
  stack_name = terraform.workspace == "default" ? "covertype" : terraform.workspace
  repository = "${path.module}/../.."
}
