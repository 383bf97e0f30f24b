# The world outside: a data source that the stack does not control, with its own life. Only its network is shared.

locals {
  # The workspace is the stack: its state and its name cannot disagree.
  stack_name = terraform.workspace == "default" ? "covertype" : terraform.workspace
  repository = "${path.module}/../.."

  sources = {
    python   = ["images/python/**", "requirements/build.txt"]
    data-api = ["external/**", "images/python/**", "requirements/build.txt", "requirements/data-api.txt"]
  }

  digest = {
    for image, patterns in local.sources : image => substr(sha256(join("\n", concat([var.debian_image], flatten([
      for pattern in patterns : [
        for file in sort(fileset(local.repository, pattern)) : "${file} ${filesha256("${local.repository}/${file}")}"
        if !can(regex("__pycache__", file))
      ]
    ])))), 0, 16)
  }
}

resource "docker_network" "source" {
  name = "${local.stack_name}-source"

  labels {
    label = "stack"
    value = local.stack_name
  }
}

resource "docker_volume" "data_api" {
  name = "${local.stack_name}-data-api"

  labels {
    label = "stack"
    value = local.stack_name
  }
}

resource "docker_image" "python" {
  name         = "${local.stack_name}-data-api-python:${local.digest["python"]}"
  keep_locally = true # swept by Ansible, like the images of the stack

  build {
    context    = local.repository
    dockerfile = "images/python/Dockerfile"
    build_args = { DEBIAN_IMAGE = var.debian_image }
    label      = { stack = local.stack_name }

    secrets {
      id  = "ca"
      src = var.ca_bundle
    }
  }
}

resource "docker_image" "data_api" {
  name         = "${local.stack_name}-data-api:${local.digest["data-api"]}"
  keep_locally = true

  build {
    context    = local.repository
    dockerfile = "external/Dockerfile"
    build_args = { PYTHON_IMAGE = docker_image.python.name }
    label      = { stack = local.stack_name }

    secrets {
      id  = "ca"
      src = var.ca_bundle
    }
  }
}

module "data_api" {
  source = "../modules/service"

  name       = "data-api"
  stack_name = local.stack_name
  image      = docker_image.data_api.image_id
  user       = "10005:10005"
  memory_mb  = 512
  networks   = [docker_network.source.name]
  volumes    = { (docker_volume.data_api.name) = "/var/lib/data-api" }

  ports        = { 8000 = var.data_api_port }
  bind_address = var.bind_address

  environment = {
    BATCH_FRACTION  = tostring(var.batch_fraction)
    MIN_UPDATE_TIME = tostring(var.min_update_time)
  }

  healthcheck = ["healthcheck", "http://127.0.0.1:8000/health"]
}
