# Transformation networks: trained once for all artworks that they paint, then applied in one pass.


rule train:
    input:
        unpack(lambda w: FILES.shared.train_inputs(w.key)),
    output:
        network=f"{RESULTS}/shared/networks/{{key}}.safetensors",
        record=f"{RESULTS}/shared/networks/{{key}}.json",
        report=f"{RESULTS}/shared/networks/{{key}}.html",
    log:
        f"{RESULTS}/logs/train/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{key}}.tsv"
    threads: lambda w: NEEDS.train(w.key).threads
    resources:
        mem_mb=lambda w, attempt: NEEDS.train(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.train(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.train(w.key).disk_mib,
        gpu=lambda w: NEEDS.train(w.key).gpus,
    params:
        options=lambda w: FILES.shared.networks.train_options(w.key),
        seen=lambda w: FILES.shared.seen(FILES.shared.train_inputs(w.key)["styles"]),
        code=fingerprint("train"),
    shell:
        "exec impasto --end-with-parent train {input.photographs:q} {params.options} --weights {input.weights:q} "
        "--output {output.network:q} --record {output.record:q} --report {output.report:q} > {log:q} 2>&1"


rule apply:
    input:
        unpack(lambda w: FILES.apply_inputs(w.artwork)),
    output:
        image=f"{RESULTS}/{{artwork}}/levels/{{level}}/painted.tif",
        record=f"{RESULTS}/{{artwork}}/levels/{{level}}/painted.json",
    log:
        f"{RESULTS}/logs/{{artwork}}/apply-{{level}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/apply-{{level}}.tsv"
    threads: lambda w: NEEDS.apply(w.artwork).threads
    resources:
        mem_mb=lambda w, attempt: NEEDS.apply(w.artwork).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.apply(w.artwork).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.apply(w.artwork).disk_mib,
        gpu=lambda w: NEEDS.apply(w.artwork).gpus,
    params:
        options=lambda w: FILES.apply_options(w.artwork),
        guides=lambda w, input: ["--guides", *input.guides] if input.guides else [],
        seen=lambda w: FILES.shared.seen([FILES.apply_inputs(w.artwork)["network"]]),
        code=fingerprint("apply"),
    shell:
        "exec impasto --end-with-parent apply {input.image:q} --model {input.network:q} {params.guides:q} "
        "{params.options} --output {output.image:q} --record {output.record:q} > {log:q} 2>&1"


# All artworks on demand; in the demo the fast variant: `snakemake --cores all demo_feedforward`.
rule demo_feedforward:
    input:
        FILES.asked(on_demand=True),
