output "container" {
  description = "Name of the container."
  value       = docker_container.this.name
}
