# One image of our own. Its tag is the digest of what it is made of: change a file, and exactly the images that hold
# it are built anew, and the containers that run them are replaced.

locals {
  files = sort(distinct(flatten([
    for pattern in concat([var.dockerfile], var.sources) : [
      for file in fileset(var.repository, pattern) : file if !can(regex("(^|/)(__pycache__|\\.[^/]*_cache)/", file)) # as .dockerignore
    ]
  ])))

  # The image below is one of the arguments, by its tag, so what that one is made of counts too.
  digest = substr(sha256(join("\n", concat(
    [for name, value in var.build_args : "${name}=${value}"],
    [for file in local.files : "${file} ${filesha256("${var.repository}/${file}")}"],
  ))), 0, 16)
}

resource "docker_image" "this" {
  name         = "${var.stack_name}-${var.name}:${local.digest}"
  keep_locally = true # a container may run the old image while the new one takes its place; Ansible sweeps what nobody runs

  dynamic "build" {
    for_each = var.prebuilt ? [] : [true]

    content {
      context    = var.repository
      dockerfile = var.dockerfile
      build_args = var.build_args
      label      = { stack = var.stack_name }

      secrets {
        id  = "ca"
        src = var.ca_bundle
      }
    }
  }

  lifecycle {
    # The name says what the image is made of, whether it was built here or came in a bundle: from one to the other nothing changes.
    ignore_changes = [build]

    precondition {
      condition     = alltrue([for pattern in concat([var.dockerfile], var.sources) : length(fileset(var.repository, pattern)) > 0])
      error_message = "${var.name}: no file is called like one of ${join(", ", concat([var.dockerfile], var.sources))}; its changes would go unseen."
    }
  }
}
