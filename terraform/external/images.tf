# The image of the data source and what it stands on. It shares the Dockerfile of Python with the stack, but no image.

module "python_image" {
  source = "../modules/image"

  name       = "data-api-python"
  stack_name = local.stack_name
  repository = local.repository
  dockerfile = "images/python/Dockerfile"
  sources    = ["images/python/**", "requirements/build.txt"]
  build_args = { DEBIAN_IMAGE = var.debian_image }
  ca_bundle  = var.ca_bundle
  prebuilt   = var.prebuilt
}

module "data_api_image" {
  source = "../modules/image"

  name       = "data-api"
  stack_name = local.stack_name
  repository = local.repository
  dockerfile = "external/Dockerfile"
  sources    = ["external/**", "requirements/data-api.txt"]
  build_args = { PYTHON_IMAGE = module.python_image.name }
  ca_bundle  = var.ca_bundle
  prebuilt   = var.prebuilt
}
