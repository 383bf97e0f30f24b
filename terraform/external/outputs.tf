output "images" {
  description = "Tags of the images that this root module builds, by name; Ansible sweeps older ones."
  value       = { data-api = module.data_api_image.name, data-api-python = module.python_image.name }
}

output "jobs" {
  description = "Containers of this root module that end, by their one noun."
  value       = []
}

output "services" {
  description = "Containers of this root module that stay up, by their one noun."
  value       = [module.data_api.name]
}

output "urls" {
  description = "Where the data source answers on the host."
  value       = { data_api = "http://${var.bind_address}:${var.data_api_port}" }
}
