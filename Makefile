# The commands of the project. Each is one line; what they do stands in ansible/, bin/ and tests/.
# A file .env (see .env.example) may name ports, another stack and more; what is typed wins over it.

.DEFAULT_GOAL := help
.PHONY: help up plan verify status credentials down destroy rollback rotate-secrets backup restore test lint unit iac molecule e2e faults soak bench bundle \
  vm-up vm-verify vm-destroy vm-box

# What proves and measures the project does so on this machine, whatever inventory .env names.
test lint unit iac molecule bench e2e faults soak: export ANSIBLE_INVENTORY = ansible/inventory.yml

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.venv/.complete: requirements/control.txt
	@bin/bootstrap .venv requirements/control.txt

.venv-dev/.complete: requirements/dev.txt
	@bin/bootstrap .venv-dev requirements/dev.txt

.venv-scan/.complete: requirements/scan.txt
	@bin/bootstrap .venv-scan requirements/scan.txt

up: .venv/.complete ## everything, from a fresh machine to a prediction
	@bin/playbook site

plan: .venv/.complete ## what `make up` would change; changes nothing
	@bin/plan

verify: .venv/.complete ## read-only checks of the running stack
	@bin/playbook verify

status: .venv/.complete ## each service: state, health, URL, version; the model in Production
	@bin/playbook status

credentials: .venv/.complete ## users and passwords of the UIs, on the terminal only
	@bin/credentials

down: .venv/.complete ## containers and networks gone, data kept
	@bin/playbook teardown

destroy: .venv/.complete ## everything of the stack gone, data and secrets too (asks first; YES=1 does not)
	@bin/destroy

rollback: .venv/.complete ## the previous Production version is Production again
	@bin/playbook rollback

rotate-secrets: .venv/.complete ## new passwords in files and services, all or SECRET=<name>; the stack is up again after it
	@bin/playbook rotate_secrets

backup: .venv/.complete ## databases and bucket as one set in build/backup/<stack>; SECRETS=1 PASSPHRASE_FILE=<file>: secrets too
	@bin/playbook backup

restore: .venv/.complete ## a set in the place of what the stack has: FROM=<set> (asks first; YES=1 does not)
	@bin/restore

vm-up: .venv/.complete ## the same in a virtual machine: Vagrant, and a box named by VM_BOX (docs/vm.md)
	@bin/vm up

vm-verify: .venv/.complete ## read-only checks of the stack in that machine
	@bin/vm verify

vm-destroy: ## that machine gone, with all that is in it
	@bin/vm destroy

vm-box: ## a small Debian box for libvirt, built from packages
	@bin/vm-box

bundle: .venv/.complete ## an offline bundle in build/bundle/<stack>, from which `make up BUNDLE=<folder>` needs no network
	@bin/playbook bundle

test: ## everything that proves the project
	@bin/test

lint: .venv-dev/.complete ## style, types, syntax of every language here
	@bin/lint

unit: .venv/.complete ## fast tests, inside the images that ship
	@bin/unit

iac: .venv/.complete .venv-dev/.complete .venv-scan/.complete ## Terraform and Ansible alone, without a stack
	@bin/iac

molecule: .venv-dev/.complete ## each role alone, on the real engine; one with ROLE=<name>
	@bin/molecule $(ROLE)

bench: .venv/.complete ## figures, measured inside the images that ship; they only report
	@bin/bench

e2e: .venv/.complete .venv-dev/.complete ## a second stack, from nothing to a prediction in a browser and back to nothing
	@bin/e2e

faults: .venv/.complete .venv-dev/.complete ## every fault at every moment of a run, for hours; ON=<stack>: a stack that is up, ENGINE=1: the engine too
	@bin/faults

soak: .venv/.complete .venv-dev/.complete ## a stack under load for MINUTES=10, while it learns, promotes and backs up; ON=<stack>: one that is up
	@bin/soak
