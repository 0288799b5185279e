# Impasto's workflow: a table of contents. Each stage is a rule, a command (`impasto VERB`) and a file.
# rules/README.md draws the graph; config.yaml says what is rendered; profiles/ says where.

from snakemake.utils import min_version

min_version("9.10")


include: "rules/common.smk"
include: "rules/prepare.smk"
include: "rules/stylise.smk"
include: "rules/feedforward.smk"
include: "rules/export.smk"
include: "rules/deliver.smk"


# What a plain `snakemake` makes: every artwork's print and preview, and the report over all of them. Of an artwork
# that cannot be made it asks for the plan, whose job says why.
rule all:
    default_target: True
    input:
        FILES.asked(on_demand=False),
        DELIVERED,
