# What Vagrant itself makes of the Vagrantfile for a provider, installed or not, as JSON: ruby vagrantfile.rb <provider>
require "json"
require "vagrant"

environment = Vagrant::Environment.new(cwd: File.expand_path("../..", __dir__), ui_class: Vagrant::UI::Silent)
provider = ARGV.fetch(0).to_sym
config = environment.vagrantfile.machine_config(:"stack-host", provider, environment.boxes, nil, false)[:config]
provisioner = config.vm.provisioners.first
puts JSON.generate(
  box: config.vm.box, box_url: config.vm.box_url, default_provider: ENV["VAGRANT_DEFAULT_PROVIDER"],
  ports: config.vm.networks.filter_map { |type, options| options if type == :forwarded_port },
  provisioners: config.vm.provisioners.length, playbook: provisioner.config.playbook, command: provisioner.config.playbook_command,
  ansible_config: provisioner.config.config_file, host_vars: provisioner.config.host_vars["stack-host"],
  memory: config.vm.get_provider_config(provider)&.memory, cpus: config.vm.get_provider_config(provider)&.cpus,
  driver: provider == :libvirt ? config.vm.get_provider_config(provider)&.driver : nil,
  folders: config.vm.synced_folders,
)
