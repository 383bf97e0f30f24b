variable "aliases" {
  description = "More names of the container, by the one network on which each holds."
  type        = map(string)
  default     = {}
}

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

  validation {
    condition     = !anytrue([for key in keys(var.environment) : can(regex("(?i)(key|passwd|password|secret|token)$", key))])
    error_message = "A variable is called like a secret. Mount a file and name its path (…_FILE) or the command that reads it (…_CMD)."
  }
}

variable "folders" {
  description = "Folders of the host that the container may read, by their path in it."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for target, source in var.folders : startswith(target, "/") && startswith(source, "/") && !endswith(source, ".sock")])
    error_message = "A folder is mounted from an absolute path to an absolute path, and no socket is: the engine's is the host."
  }
}

variable "grace_seconds" {
  description = "Seconds between the signal to stop and the kill."
  type        = number
  default     = 30

  validation {
    condition     = var.grace_seconds > 0
    error_message = "grace_seconds is greater than 0: a service that is killed cannot end what it does."
  }
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

  validation {
    condition     = length(var.networks) > 0
    error_message = "Without a network of its own a container is put on the engine's bridge, which all stacks share."
  }
}

variable "one_shot" {
  description = "A job: it runs to its end once, and the apply fails when it does."
  type        = bool
  default     = false
}

variable "patience" {
  description = "Factor by which every wait is longer than usual: 1 for a real processor, 10 or more for an emulated one."
  type        = number
  default     = 1

  validation {
    condition     = var.patience == floor(var.patience) && var.patience >= 1
    error_message = "patience is a whole number, 1 or more."
  }
}

variable "ports" {
  description = "Published ports: port in the container → port of the host."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for internal, external in var.ports : can(regex("^[1-9][0-9]{0,4}$", internal)) && external > 0 && external < 65536])
    error_message = "ports maps a port in the container to one of the host, both from 1 to 65535."
  }
}

variable "secrets" {
  description = "Names of the files in secrets_dir that the container reads at /run/secrets/<name>."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.secrets) == 0 || var.secrets_dir != null
    error_message = "Secrets are files of secrets_dir, which is not given."
  }
}

variable "secrets_dir" {
  description = "Folder of the host that holds this service's secret files."
  type        = string
  default     = null
}

variable "stack_name" {
  description = "Name of the stack: prefix of every name and value of the label `stack`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.stack_name))
    error_message = "A stack's name has at most 31 lower-case letters, digits and hyphens, and begins with a letter. It is the workspace: terraform workspace show."
  }
}

variable "tmpfs" {
  description = "Writable memory file systems, path → mount options, beside /tmp. All else of the root file system is read-only."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for options in var.tmpfs : length(setsubtract(["nodev", "nosuid"], split(",", options))) == 0 && strcontains(options, "size=")])
    error_message = "A memory file system is mounted nosuid and nodev and has a size."
  }
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

  validation {
    condition     = alltrue([for target in var.volumes : startswith(target, "/")])
    error_message = "A volume is mounted at an absolute path."
  }
}
