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


# What a plain `snakemake` makes: every artwork's print and preview, and the report over all of them.
rule all:
    default_target: True
    input:
        expand(
            f"{RESULTS}/{{artwork}}/{{file}}",
            artwork=COLLECTION.artworks(on_demand=False),
            file=["preview.png", "plan.json", "provenance.json"],
        ),
        # The jobs of artworks that cannot be made, which say why.
        expand(f"{RESULTS}/{{artwork}}/plan.json", artwork=COLLECTION.refusals(on_demand=False)),
        [FILES.prints(artwork) for artwork in COLLECTION.artworks(on_demand=False)],
        [FILES.assessed(artwork) for artwork in COLLECTION.artworks(on_demand=False)],
        [FILES.judged(artwork) for artwork in COLLECTION.artworks(on_demand=False)],
        [FILES.panels(artwork) for artwork in COLLECTION.artworks(on_demand=False)],
        [FILES.deepzooms(artwork) for artwork in COLLECTION.artworks(on_demand=False)],
        f"{RESULTS}/report.html",
        DELIVERED,
