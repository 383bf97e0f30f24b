"""One page, one file: each has show(texts), which draws it."""
