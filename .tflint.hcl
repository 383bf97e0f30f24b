# tflint over terraform/: every rule of its Terraform set, which is compiled in. What is off has its reason beside it.

plugin "terraform" {
  enabled = true
  preset  = "all"
}

# It wants a main.tf in each module. The root modules have a file for each logical group instead, as HashiCorp's style
# guide advises for larger ones, so that a reader finds any resource by its file's name.
rule "terraform_standard_module_structure" {
  enabled = false
}
