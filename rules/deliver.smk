# What is finished, copied to where Snakemake's storage plugins reach: `deliver_to` in the configuration.
# A local rule: a cluster's nodes need no network for it.

PLACE = COLLECTION.config.deliver_to
DELIVERED = []

if PLACE is not None:

    DELIVERED = [storage(f"{PLACE}/{file}") for file in FILES.delivered()]

    localrules:
        deliver,

    rule deliver:
        input:
            f"{RESULTS}/{{file}}",
        output:
            storage(f"{PLACE}/{{file}}"),
        log:
            f"{RESULTS}/logs/deliver/{{file}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/deliver/{{file}}.tsv"
        threads: 1
        resources:
            mem_mb=lambda w, attempt: NEEDS.deliver(w.file).memory_mib(attempt),
            runtime=lambda w, attempt: NEEDS.deliver(w.file).runtime_min(attempt),
            disk_mb=lambda w: NEEDS.deliver(w.file).disk_mib,
        shell:
            "cp {input:q} {output:q} > {log:q} 2>&1"
