variable "bind_address" {
  description = "Address of the host on which the ports are published."
  type        = string
  default     = "127.0.0.1"
}

variable "command" {
  description = "Command of the container; null keeps the image's own."
  type        = list(string)
  default     = null
}

variable "entrypoint" {
  description = "Entry point of the container; null keeps the image's own."
  type        = list(string)
  default     = null
}

variable "environment" {
  description = "Environment of the container. It is readable in the state and by `docker inspect`: paths of secrets, never values."
  type        = map(string)
  default     = {}
}

variable "folders" {
  description = "Folders of the host that the container may read, by their path in it."
  type        = map(string)
  default     = {}
}

variable "grace_seconds" {
  description = "Seconds between the signal to stop and the kill."
  type        = number
  default     = 30
}

variable "healthcheck" {
  description = "Command that exits 0 while the service does its work. Required, unless one_shot."
  type        = list(string)
  default     = null
}

variable "image" {
  description = "Image to run: the id of one that Terraform owns."
  type        = string
}

variable "memory_mb" {
  description = "Memory limit in MiB; there is no swap beyond it."
  type        = number

  validation {
    condition     = var.memory_mb >= 32
    error_message = "memory_mb is in MiB and cannot be less than 32."
  }
}

variable "name" {
  description = "The service's one noun: container <stack_name>-<name>, DNS alias <name>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*$", var.name))
    error_message = "A service's name has lower-case letters, digits and hyphens (boto3 refuses an underscore in a host name)."
  }
}

variable "networks" {
  description = "Names of the networks that the service needs, and no others."
  type        = set(string)
}

variable "one_shot" {
  description = "A job: it runs to its end once, and the apply fails when it does."
  type        = bool
  default     = false
}

variable "ports" {
  description = "Published ports: port in the container → port of the host."
  type        = map(number)
  default     = {}
}

variable "secrets_dir" {
  description = "Folder of the host that holds this service's secret files."
  type        = string
  default     = null
}

variable "secrets" {
  description = "Names of the files in secrets_dir that the container reads at /run/secrets/<name>."
  type        = set(string)
  default     = []
}

variable "stack_name" {
  description = "Name of the stack: prefix of every name and value of the label `stack`."
  type        = string
}

variable "tmpfs" {
  description = "Writable memory file systems, path → mount options, beside /tmp. All else of the root file system is read-only."
  type        = map(string)
  default     = {}
}

variable "user" {
  description = "Numeric user (and group) that the container runs as."
  type        = string

  validation {
    condition     = can(regex("^[1-9][0-9]*(:[1-9][0-9]*)?$", var.user))
    error_message = "user is a number, or number:number, and never root."
  }
}

variable "volumes" {
  description = "Named volumes, name → path in the container."
  type        = map(string)
  default     = {}
}
