"""One module per verb, in the order of the pipeline's story; each has `add_arguments` and `run`."""
