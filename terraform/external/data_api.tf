# The world outside: a data source that the stack does not control, with its own life. Only its network is shared.

module "data_api" {
  source = "../modules/service"

  name       = "data-api"
  stack_name = local.stack_name
  image      = module.data_api_image.image_id
  user       = "10005:10005"
  memory_mb  = 512
  patience   = var.patience
  networks   = [docker_network.source.name]
  volumes    = { (docker_volume.data_api.name) = "/var/lib/data-api" }

  ports        = { 8000 = var.data_api_port }
  bind_address = var.bind_address

  environment = merge(
    {
      BATCH_FRACTION  = tostring(var.batch_fraction)
      MIN_UPDATE_TIME = tostring(var.min_update_time)
    },
    var.sample_seed == "" ? {} : { SAMPLE_SEED = var.sample_seed },
  )

  healthcheck = ["healthcheck", "http://127.0.0.1:8000/health"]
}
