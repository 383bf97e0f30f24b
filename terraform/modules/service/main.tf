# One container with the policy that every container of the stack follows. What a service is stands in the
# root modules; how any of them may run stands here, once.

locals {
  # In the shape in which the engine gives a duration back: 1m0s, not 60s.
  durations = {
    for name, seconds in { interval = 5, timeout = 10, start_period = 120 } : name => join("", [
      for unit in [
        { letter = "h", shown = seconds * var.patience >= 3600, value = floor(seconds * var.patience / 3600) },
        { letter = "m", shown = seconds * var.patience >= 60, value = floor(seconds * var.patience / 60) % 60 },
        { letter = "s", shown = true, value = seconds * var.patience % 60 },
      ] : "${unit.value}${unit.letter}" if unit.shown
    ])
  }
}

resource "docker_container" "this" {
  name  = "${var.stack_name}-${var.name}"
  image = var.image

  entrypoint = var.entrypoint
  command    = var.command
  env        = [for key, value in var.environment : "${key}=${value}"]
  hostname   = var.name
  user       = var.user

  # A job is attached to until it ends; a service comes back with the engine, and is waited for.
  attach       = var.one_shot
  logs         = var.one_shot
  must_run     = !var.one_shot
  restart      = var.one_shot ? "no" : "unless-stopped"
  wait         = !var.one_shot
  wait_timeout = 300 * var.patience

  stop_timeout          = var.grace_seconds
  destroy_grace_seconds = var.grace_seconds

  memory      = var.memory_mb
  memory_swap = var.memory_mb

  read_only     = true
  security_opts = ["no-new-privileges:true"]
  tmpfs         = merge({ "/tmp" = "rw,noexec,nosuid,nodev,size=256m,mode=1777" }, var.tmpfs)

  capabilities {
    drop = ["ALL"]
  }

  log_driver = "json-file"
  log_opts = {
    max-size = "10m"
    max-file = "3"
  }

  labels {
    label = "stack"
    value = var.stack_name
  }

  # So that a job that failed is found, and made to run again.
  dynamic "labels" {
    for_each = var.one_shot ? ["job"] : []

    content {
      label = "role"
      value = labels.value
    }
  }

  dynamic "healthcheck" {
    for_each = var.one_shot ? [] : [var.healthcheck]

    content {
      test         = concat(["CMD"], healthcheck.value)
      interval     = local.durations.interval
      timeout      = local.durations.timeout
      start_period = local.durations.start_period
      retries      = 12
    }
  }

  dynamic "networks_advanced" {
    for_each = var.networks

    content {
      name    = networks_advanced.value
      aliases = compact([var.name, lookup(var.aliases, networks_advanced.value, "")])
    }
  }

  dynamic "ports" {
    for_each = var.ports

    content {
      internal = tonumber(ports.key)
      external = ports.value
      ip       = var.bind_address
    }
  }

  dynamic "mounts" {
    for_each = var.volumes

    content {
      type   = "volume"
      source = mounts.key
      target = mounts.value
    }
  }

  dynamic "mounts" {
    for_each = var.folders

    content {
      type      = "bind"
      source    = mounts.value
      target    = mounts.key
      read_only = true
    }
  }

  dynamic "mounts" {
    for_each = var.secrets

    content {
      type      = "bind"
      source    = "${var.secrets_dir}/${mounts.value}"
      target    = "/run/secrets/${mounts.value}"
      read_only = true
    }
  }

  lifecycle {
    precondition {
      condition     = var.one_shot != (var.healthcheck != null)
      error_message = "${var.name}: a service needs a healthcheck, and a job has none."
    }

    precondition {
      condition     = alltrue([for secret in var.secrets : fileexists("${var.secrets_dir}/${secret}")])
      error_message = "${var.name}: a secret file is missing in ${coalesce(var.secrets_dir, "(no folder)")}. `ansible-playbook ansible/prepare_host.yml` makes them."
    }

    postcondition {
      condition     = !var.one_shot || self.exit_code == 0
      error_message = "The job ${var.name} failed. Its reason: docker logs ${var.stack_name}-${var.name}"
    }
  }
}
