variable "build_args" {
  description = "Arguments of the Dockerfile: the images that it builds on. They are readable in the image: no secrets."
  type        = map(string)
}

variable "ca_bundle" {
  description = "File of the host with the certificates that the build trusts when it fetches packages."
  type        = string

  validation {
    condition     = fileexists(var.ca_bundle)
    error_message = "ca_bundle names no file: install the package ca-certificates, or name your own bundle."
  }
}

variable "dockerfile" {
  description = "Path of the Dockerfile in the repository."
  type        = string
}

variable "name" {
  description = "Name of the image without the stack's."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*$", var.name))
    error_message = "An image's name has lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "prebuilt" {
  description = "Whether the image is there already, under the name that it would be built with. It is then not built."
  type        = bool
  default     = false
}

variable "repository" {
  description = "Folder of the project, which is the build's context."
  type        = string
}

variable "sources" {
  description = "Patterns of the files that the Dockerfile copies, in the repository."
  type        = list(string)
}

variable "stack_name" {
  description = "Name of the stack: prefix of the image's name and value of its label `stack`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.stack_name))
    error_message = "A stack's name has at most 31 lower-case letters, digits and hyphens, and begins with a letter. It is the workspace: terraform workspace show."
  }
}
