# Images that the stack builds. A tag is the digest of what the image is made of: change a file, and exactly the
# images that hold it are built anew, and the containers that run them are replaced.

locals {
  image_sources = {
    airflow   = ["images/airflow/**", "images/python/**", "requirements/airflow.txt", "requirements/build.txt", "src/**"]
    minio     = ["images/minio/**"]
    mlflow    = ["images/mlflow/**", "images/python/**", "requirements/build.txt", "requirements/mlflow.txt"]
    model-api = ["app/**", "images/python/**", "requirements/build.txt", "requirements/model-api.txt", "src/**"]
    python    = ["images/python/**", "requirements/build.txt"]
    ui        = ["images/python/**", "requirements/build.txt", "requirements/ui.txt", "ui/**"]
  }

  image_files = {
    for image, patterns in local.image_sources : image => sort(distinct(flatten([
      for pattern in patterns : [for file in fileset(local.repository, pattern) : file if !can(regex("__pycache__", file))]
    ])))
  }

  image_digest = {
    for image, files in local.image_files : image => substr(sha256(join("\n", concat(
      [var.debian_image, image == "minio" ? var.golang_image : ""],
      [for file in files : "${file} ${filesha256("${local.repository}/${file}")}"],
    ))), 0, 16)
  }

  dockerfile = {
    airflow   = "images/airflow/Dockerfile"
    mlflow    = "images/mlflow/Dockerfile"
    model-api = "app/Dockerfile"
    ui        = "ui/Dockerfile"
  }
}

resource "docker_image" "python" {
  name         = "${local.stack_name}-python:${local.image_digest["python"]}"
  keep_locally = true # Ansible's containers may run the old image while a new one takes its place; its role sweeps what nobody runs

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

resource "docker_image" "service" {
  for_each = local.dockerfile

  name         = "${local.stack_name}-${each.key}:${local.image_digest[each.key]}"
  keep_locally = true

  build {
    context    = local.repository
    dockerfile = each.value
    build_args = { PYTHON_IMAGE = docker_image.python.name }
    label      = { stack = local.stack_name }

    secrets {
      id  = "ca"
      src = var.ca_bundle
    }
  }
}

resource "docker_image" "minio" {
  name         = "${local.stack_name}-minio:${local.image_digest["minio"]}"
  keep_locally = true

  build {
    context    = local.repository
    dockerfile = "images/minio/Dockerfile"
    build_args = { DEBIAN_IMAGE = var.debian_image, GOLANG_IMAGE = var.golang_image }
    label      = { stack = local.stack_name }

    secrets {
      id  = "ca"
      src = var.ca_bundle
    }
  }
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
