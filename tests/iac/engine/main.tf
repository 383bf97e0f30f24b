# The modules on a real engine, as small as they can be: an image, a service of it and a job, for tests/iac/test_engine.py.

terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  required_providers {
    docker = {
      source  = "kreuzwerker/docker"
      version = "4.6.0"
    }
  }
}

variable "debian_image" {
  description = "Image that is there already."
  type        = string
}

variable "exit_code" {
  description = "How the job ends."
  type        = number
  default     = 0
}

variable "port" {
  description = "Free port of the host."
  type        = number
}

variable "secrets_dir" {
  description = "Folder with the file `word`."
  type        = string
}

variable "stack_name" {
  description = "A name that nothing else on this engine has."
  type        = string
}

resource "docker_network" "this" {
  name = "${var.stack_name}-front"

  labels {
    label = "stack"
    value = var.stack_name
  }
}

resource "docker_volume" "this" {
  name = "${var.stack_name}-data"

  labels {
    label = "stack"
    value = var.stack_name
  }
}

module "image" {
  source = "../../../terraform/modules/image"

  name       = "greeter"
  stack_name = var.stack_name
  repository = path.module
  dockerfile = "Dockerfile"
  sources    = ["greeter.pl"]
  build_args = { DEBIAN_IMAGE = var.debian_image }
  ca_bundle  = "main.tf" # nothing is fetched
}

module "service" {
  source = "../../../terraform/modules/service"

  name       = "greeter"
  stack_name = var.stack_name
  image      = module.image.image_id
  user       = "10001:10001"
  memory_mb  = 64
  networks   = [docker_network.this.name]
  volumes    = { (docker_volume.this.name) = "/data" }

  ports         = { 8000 = var.port }
  secrets_dir   = var.secrets_dir
  secrets       = ["word"]
  grace_seconds = 10

  healthcheck = ["test", "-e", "/tmp/ready"]
}

module "job" {
  source = "../../../terraform/modules/service"

  name       = "greeter-job"
  stack_name = var.stack_name
  image      = module.image.image_id
  user       = "10001:10001"
  memory_mb  = 64
  networks   = [docker_network.this.name]

  one_shot = true
  command  = ["sh", "-c", "exit ${var.exit_code}"]

  depends_on = [module.service]
}
