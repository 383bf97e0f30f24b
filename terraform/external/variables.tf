variable "batch_fraction" {
  description = "Share of each tenth of the data that one batch samples."
  type        = number
  default     = 0.1

  validation {
    condition     = var.batch_fraction > 0 && var.batch_fraction <= 1
    error_message = "batch_fraction is greater than 0 and at most 1."
  }
}

variable "bind_address" {
  description = "Address of the host on which the port is published."
  type        = string
  default     = "127.0.0.1"

  validation {
    condition     = can(cidrhost("${var.bind_address}/32", 0))
    error_message = "bind_address is an IPv4 address, such as 127.0.0.1."
  }
}

variable "ca_bundle" {
  description = "File of the host with the certificates that image builds trust when they fetch packages."
  type        = string
  default     = "/etc/ssl/certs/ca-certificates.crt"

  validation {
    condition     = fileexists(var.ca_bundle)
    error_message = "ca_bundle names no file: install the package ca-certificates, or name your own bundle."
  }
}

variable "data_api_port" {
  description = "Port of the host for the data source."
  type        = number
  default     = 80

  validation {
    condition     = var.data_api_port == floor(var.data_api_port) && var.data_api_port > 0 && var.data_api_port < 65536
    error_message = "data_api_port is a port: a whole number from 1 to 65535."
  }
}

variable "debian_image" {
  description = "Image of Debian trixie that the data source's image is built on."
  type        = string
  default     = "debian:trixie-slim"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/:-]*(:[\\w][\\w.-]*|@sha256:[0-9a-f]{64})$", var.debian_image)) && !endswith(var.debian_image, ":latest")
    error_message = "debian_image is an image's name with a tag or a digest, such as debian:trixie-slim; latest is no version."
  }
}

variable "min_update_time" {
  description = "Seconds after which a request moves a group on to its next batch."
  type        = number
  default     = 300

  validation {
    condition     = var.min_update_time >= 0
    error_message = "min_update_time is a number of seconds, 0 or more."
  }
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

variable "prebuilt" {
  description = "Whether the images are there already, loaded from a bundle: they are then taken by their names and not built."
  type        = bool
  default     = false
}

variable "sample_seed" {
  description = "A whole number that makes the source's samples repeatable; empty: every sample is fresh."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[0-9]*$", var.sample_seed))
    error_message = "sample_seed is a whole number, 0 or more, or empty."
  }
}
