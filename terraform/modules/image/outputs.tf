output "image_id" {
  description = "Id of the image, for containers of Terraform."
  value       = docker_image.this.image_id
}

output "name" {
  description = "Name and tag of the image, for other builds and for Ansible."
  value       = docker_image.this.name
}
