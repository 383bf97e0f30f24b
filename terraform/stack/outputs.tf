output "images" {
  description = "Tags of the images that the stack builds, by name; Ansible runs two of them and sweeps older ones."
  value = merge(
    { for name, image in module.service_image : name => image.name },
    { edge = module.edge_image.name, minio = module.minio_image.name, python = module.python_image.name },
  )
}

output "jobs" {
  description = "Containers of Terraform that end, by their one noun: each makes something ready for the services."
  value = sort(concat(
    [for job in module.mysql_schema : job.name],
    [module.airflow_migrate.name, module.minio_bucket.name, module.mlflow_migrate.name, module.mysql_model_api.name],
  ))
}

output "networks" {
  description = "Networks of the stack, by the conversation that each carries."
  value       = { for key, network in docker_network.this : key => network.name }
}

output "services" {
  description = "Containers of Terraform that stay up, by their one noun. Ansible adds model-api and ui."
  value = sort(concat(
    [for service in concat(values(module.mysql), module.edge) : service.name],
    [
      module.airflow_api_server.name,
      module.airflow_dag_processor.name,
      module.airflow_db.name,
      module.airflow_scheduler.name,
      module.minio.name,
      module.mlflow.name,
    ],
  ))
}

output "stack_name" {
  description = "Name of the stack."
  value       = local.stack_name
}

output "urls" {
  description = "Where each service answers on the host."
  value = {
    airflow       = "${local.scheme}://${var.bind_address}:${var.airflow_port}"
    minio         = "${local.scheme}://${var.bind_address}:${var.minio_port}"
    minio_console = "${local.scheme}://${var.bind_address}:${var.minio_console_port}"
    mlflow        = "${local.scheme}://${var.bind_address}:${var.mlflow_port}"
    model_api     = "${local.scheme}://${var.bind_address}:${var.model_api_port}"
    ui            = "${local.scheme}://${var.bind_address}:${var.ui_port}"
  }
}

output "volumes" {
  description = "Volumes of the stack, by the service whose data each holds."
  value       = { for key, volume in docker_volume.this : key => volume.name }
}
