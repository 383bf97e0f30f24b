"""The model API: answers with the Production model of the registry, whichever version that is now."""
