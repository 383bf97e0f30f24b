output "containers" {
  description = "Containers of this root module."
  value       = [module.data_api.container]
}

output "images" {
  description = "Tags of the images that this root module builds, by name."
  value       = { data-api = docker_image.data_api.name, data-api-python = docker_image.python.name }
}

output "urls" {
  description = "Where the data source answers on the host."
  value       = { data_api = "http://${var.bind_address}:${var.data_api_port}" }
}
