# Transformation networks: trained once for all artworks that they paint, then applied in one pass.


rule train:
    input:
        unpack(lambda w: FILES.shared.train_inputs(w.key)),
        # What a folder's own time says of the photographs in it is wrong: params.photographs has theirs.
        folders=lambda w: ancient(FILES.shared.train_folders(w.key)),
    output:
        network=f"{RESULTS}/shared/trained/{{key}}.safetensors",
        record=f"{RESULTS}/shared/trained/{{key}}.json",
        pictures=directory(f"{RESULTS}/shared/trained/{{key}}"),
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
        seen=lambda w: FILES.shared.seen(FILES.shared.train_inputs(w.key).values()),
        photographs=lambda w: FILES.shared.photographs_state(w.key),
        code=fingerprint("train"),
    shell:
        "exec impasto --end-with-parent train {input.photographs:q} {input.folders:q} {params.options} "
        "--weights {input.weights:q} --output {output.network:q} --record {output.record:q} "
        "--pictures {output.pictures:q} > {log:q} 2>&1"


# What is handed on. Nothing is painted with it: another licence paints nothing anew.
rule export_network:
    input:
        network=f"{RESULTS}/shared/trained/{{key}}.safetensors",
        record=f"{RESULTS}/shared/trained/{{key}}.json",
        pictures=f"{RESULTS}/shared/trained/{{key}}",
    output:
        network=f"{RESULTS}/shared/networks/{{key}}.safetensors",
        report=f"{RESULTS}/shared/networks/{{key}}.html",
    log:
        f"{RESULTS}/logs/export_network/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/export_network/{{key}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.export_network().memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.export_network().runtime_min(attempt),
        disk_mb=NEEDS.export_network().disk_mib,
    params:
        licence=lambda w: COLLECTION.networks[w.key].settings.licence,
        code=fingerprint("export-network"),
    shell:
        "exec impasto --end-with-parent export-network {input.network:q} --licence {params.licence:q} "
        "--record {input.record:q} --pictures {input.pictures:q} --output {output.network:q} "
        "--report {output.report:q} > {log:q} 2>&1"


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
        seen=lambda w: FILES.shared.seen(FILES.apply_inputs(w.artwork).values()),
        code=fingerprint("apply"),
    shell:
        "exec impasto --end-with-parent apply {input.image:q} --model {input.network:q} {params.guides:q} "
        "{params.options} --output {output.image:q} --record {output.record:q} > {log:q} 2>&1"


# All artworks on demand; in the demo the fast variant: `snakemake --cores all demo_feedforward`.
rule demo_feedforward:
    input:
        FILES.asked(on_demand=True),
