output "containers" {
  description = "Services whose containers Terraform owns."
  value = sort(concat(
    [for service in module.mysql : service.container],
    [
      module.airflow_api_server.container,
      module.airflow_dag_processor.container,
      module.airflow_db.container,
      module.airflow_scheduler.container,
      module.minio.container,
      module.mlflow.container,
    ],
  ))
}

output "images" {
  description = "Tags of the images that the stack builds, by name; Ansible runs two of them and sweeps older ones."
  value = merge(
    { for name, image in docker_image.service : name => image.name },
    { minio = docker_image.minio.name, python = docker_image.python.name },
  )
}

output "networks" {
  description = "Networks of the stack, by the conversation that each carries."
  value       = { for key, network in docker_network.this : key => network.name }
}

output "stack_name" {
  description = "Name of the stack."
  value       = local.stack_name
}

output "urls" {
  description = "Where each service answers on the host."
  value = {
    airflow       = "http://${var.bind_address}:${var.airflow_port}"
    minio         = "http://${var.bind_address}:${var.minio_port}"
    minio_console = "http://${var.bind_address}:${var.minio_console_port}"
    mlflow        = "http://${var.bind_address}:${var.mlflow_port}"
    model_api     = "http://${var.bind_address}:${var.model_api_port}"
    ui            = "http://${var.bind_address}:${var.ui_port}"
  }
}
