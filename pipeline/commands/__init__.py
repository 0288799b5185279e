"""One module per verb, as listing.py has them; each has `add_arguments(parser)` and `run(arguments)`."""
