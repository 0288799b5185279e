# What is finished, copied to where Snakemake's storage plugins reach: `deliver_to` in the configuration.
# Local rules: a cluster's nodes need no network for them, and its jobs do not look there.

PLACE = COLLECTION.config.deliver_to
DELIVERED = []

if PLACE is not None and workflow.is_main_process:

    DELIVERED = [storage(f"{PLACE}/{name}") for name in FILES.delivered()]

    localrules:
        deliver,
        deliver_folder,

    rule deliver:
        input:
            f"{RESULTS}/{{file}}",
        output:
            storage(f"{PLACE}/{{file}}"),
        log:
            f"{RESULTS}/logs/deliver/{{file}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/deliver/{{file}}.tsv"
        wildcard_constraints:
            file=r".+\.[a-z]+",
        threads: 1
        resources:
            mem_mb=lambda w, attempt: NEEDS.deliver(w.file).memory_mib(attempt),
            runtime=lambda w, attempt: NEEDS.deliver(w.file).runtime_min(attempt),
            disk_mb=lambda w: NEEDS.deliver(w.file).disk_mib,
        shell:
            "cp {input:q} {output:q} > {log:q} 2>&1"

    # Snakemake takes no `directory` of a storage, which sees by itself that it is one, and leaves the local copy
    # lying: links take no room.
    rule deliver_folder:
        input:
            f"{RESULTS}/{{folder}}",
        output:
            storage(f"{PLACE}/{{folder}}"),
        log:
            f"{RESULTS}/logs/deliver/{{folder}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/deliver/{{folder}}.tsv"
        wildcard_constraints:
            folder=r"[^.]+",
        threads: 1
        resources:
            mem_mb=lambda w, attempt: NEEDS.deliver(w.folder).memory_mib(attempt),
            runtime=lambda w, attempt: NEEDS.deliver(w.folder).runtime_min(attempt),
            disk_mb=lambda w: NEEDS.deliver(w.folder).disk_mib,
        shell:
            "(rm -rf {output:q} && mkdir -p {output:q} && "
            "(cp -rl {input:q}/. {output:q} || cp -r {input:q}/. {output:q}) && "
            "rm -f {output:q}/.snakemake_timestamp) > {log:q} 2>&1"
