# Images that the stack builds: what each is made of, and what it stands on.

module "python_image" {
  source = "../modules/image"

  name       = "python"
  stack_name = local.stack_name
  repository = local.repository
  dockerfile = "images/python/Dockerfile"
  sources    = ["images/python/**", "requirements/build.txt"]
  build_args = { DEBIAN_IMAGE = var.debian_image }
  ca_bundle  = var.ca_bundle
  prebuilt   = var.prebuilt
}

module "service_image" {
  source = "../modules/image"
  for_each = {
    airflow   = { dockerfile = "images/airflow/Dockerfile", sources = ["images/airflow/**", "requirements/airflow.txt", "src/**"] }
    mlflow    = { dockerfile = "images/mlflow/Dockerfile", sources = ["images/mlflow/**", "requirements/mlflow.txt"] }
    model-api = { dockerfile = "app/Dockerfile", sources = ["app/**", "requirements/model-api.txt", "src/**"] }
    ui        = { dockerfile = "ui/Dockerfile", sources = ["requirements/ui.txt", "ui/**"] }
  }

  name       = each.key
  stack_name = local.stack_name
  repository = local.repository
  dockerfile = each.value.dockerfile
  sources    = each.value.sources
  build_args = { PYTHON_IMAGE = module.python_image.name }
  ca_bundle  = var.ca_bundle
  prebuilt   = var.prebuilt
}

module "minio_image" {
  source = "../modules/image"

  name       = "minio"
  stack_name = local.stack_name
  repository = local.repository
  dockerfile = "images/minio/Dockerfile"
  sources    = ["images/minio/**"]
  build_args = { DEBIAN_IMAGE = var.debian_image, GOLANG_IMAGE = var.golang_image }
  ca_bundle  = var.ca_bundle
  prebuilt   = var.prebuilt
}

# Built where TLS is off, too: a bundle is for both, and an image is not taken away and built again with a switch.
module "edge_image" {
  source = "../modules/image"

  name       = "edge"
  stack_name = local.stack_name
  repository = local.repository
  dockerfile = "images/edge/Dockerfile"
  sources    = ["images/edge/**"]
  build_args = { DEBIAN_IMAGE = var.debian_image }
  ca_bundle  = var.ca_bundle
  prebuilt   = var.prebuilt
}

# Images from elsewhere: there already, or pulled. They may serve other stacks too, so destroy leaves them.

resource "docker_image" "mysql" {
  name         = var.mysql_image
  keep_locally = true
}

resource "docker_image" "postgres" {
  name         = var.postgres_image
  keep_locally = true
}
