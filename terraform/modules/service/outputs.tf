output "name" {
  description = "The service's one noun, once its container is there."
  value       = docker_container.this.hostname
}
