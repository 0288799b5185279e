# From files of any kind to what the renderer reads. Shared by all artworks; keys name equal work once.


localrules:
    fetch_weights,
    fetch_viewer,
    make_demo,


rule fetch_weights:
    input:
        lambda w: FILES.shared.weights_inputs(w.weights),
    output:
        f"{RESOURCES}/weights/{{weights}}.safetensors",
    log:
        f"{RESULTS}/logs/fetch_weights/{{weights}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_weights/{{weights}}.tsv"
    threads: 1
    resources:
        mem_mb=2048,
        runtime=60,
        disk_mb=2048,
    params:
        options=lambda w: FILES.shared.weights_options(w.weights),
        seen=lambda w: FILES.shared.seen(FILES.shared.weights_inputs(w.weights)),
        code=fingerprint("fetch-weights"),
    shell:
        "exec impasto --end-with-parent fetch-weights {wildcards.weights} {params.options} "
        "--output {output:q} > {log:q} 2>&1"


rule fetch_viewer:
    input:
        FILES.shared.viewer_inputs,
    output:
        f"{RESOURCES}/viewer/openseadragon.min.js",
    log:
        f"{RESULTS}/logs/fetch_viewer.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_viewer.tsv"
    threads: 1
    resources:
        mem_mb=1024,
        runtime=30,
        disk_mb=16,
    params:
        options=FILES.shared.viewer_options,
        seen=FILES.shared.seen(FILES.shared.viewer_inputs),
        code=fingerprint("fetch-viewer"),
    shell:
        "exec impasto --end-with-parent fetch-viewer {params.options} --output {output:q} > {log:q} 2>&1"


rule make_demo:
    output:
        f"{RESOURCES}/demo/{{file}}",
    log:
        f"{RESULTS}/logs/make_demo/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_demo/{{file}}.tsv"
    threads: 1
    resources:
        mem_mb=1024,
        runtime=30,
        disk_mb=16,
    params:
        code=fingerprint("make-demo"),
    shell:
        "exec impasto --end-with-parent make-demo {wildcards.file:q} --output {output:q} > {log:q} 2>&1"


rule prepare:
    input:
        lambda w: COLLECTION.sources[w.key],
    output:
        f"{RESULTS}/shared/prepared/{{key}}.tif",
    log:
        f"{RESULTS}/logs/prepare/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare/{{key}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.prepare(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.prepare(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.prepare(w.key).disk_mib,
    params:
        seen=lambda w: FILES.shared.seen([COLLECTION.sources[w.key].as_posix()]),
        size=lambda w: str(COLLECTION.sizes[w.key]),
        code=fingerprint("prepare"),
    shell:
        "exec impasto --end-with-parent prepare {input:q} --output {output:q} > {log:q} 2>&1"


rule crop:
    input:
        lambda w: f"{RESULTS}/shared/prepared/{COLLECTION.crops[w.key].prepared}.tif",
    output:
        image=f"{RESULTS}/shared/cropped/{{key}}.tif",
        record=f"{RESULTS}/shared/cropped/{{key}}.json",
    log:
        f"{RESULTS}/logs/crop/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/crop/{{key}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.crop(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.crop(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.crop(w.key).disk_mib,
    params:
        options=lambda w: FILES.shared.crop_options(w.key),
        code=fingerprint("crop"),
    shell:
        "exec impasto --end-with-parent crop {input:q} {params.options} --output {output.image:q} "
        "--record {output.record:q} > {log:q} 2>&1"


rule crop_mask:
    input:
        unpack(lambda w: FILES.shared.crop_mask_inputs(w.key)),
    output:
        f"{RESULTS}/shared/masks/cropped/{{key}}.tif",
    log:
        f"{RESULTS}/logs/crop_mask/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/crop_mask/{{key}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.crop_mask(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.crop_mask(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.crop_mask(w.key).disk_mib,
    params:
        seen=lambda w: FILES.shared.seen(FILES.shared.crop_mask_inputs(w.key).values()),
        code=fingerprint("crop-mask"),
    shell:
        "exec impasto --end-with-parent crop-mask {input.mask:q} --crop {input.crop:q} --output {output:q} "
        "> {log:q} 2>&1"


rule segment:
    input:
        unpack(lambda w: FILES.shared.segment_inputs(w.key)),
    output:
        mask=f"{RESULTS}/shared/masks/{{key}}.tif",
        record=f"{RESULTS}/shared/masks/{{key}}.json",
    log:
        f"{RESULTS}/logs/segment/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/segment/{{key}}.tsv"
    threads: lambda w: NEEDS.segment(w.key).threads
    resources:
        mem_mb=lambda w, attempt: NEEDS.segment(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.segment(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.segment(w.key).disk_mib,
    params:
        threads=THREADS,
        on_nobody=lambda w: COLLECTION.masks[w.key].settings.on_nobody,
        code=fingerprint("segment"),
    shell:
        "exec impasto --end-with-parent segment {input.image:q} --weights {input.weights:q} "
        "--on-nobody {params.on_nobody} --threads {params.threads} --output {output.mask:q} --record {output.record:q} > {log:q} 2>&1"


rule partition:
    input:
        unpack(lambda w: FILES.shared.partition_inputs(w.key)),
    output:
        masks=directory(f"{RESULTS}/shared/masks/parts/{{key}}"),
        record=f"{RESULTS}/shared/masks/parts/{{key}}.json",
    log:
        f"{RESULTS}/logs/partition/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/partition/{{key}}.tsv"
    threads: lambda w: NEEDS.partition(w.key).threads
    resources:
        mem_mb=lambda w, attempt: NEEDS.partition(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.partition(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.partition(w.key).disk_mib,
    params:
        threads=THREADS,
        parts=lambda w: COLLECTION.partitions[w.key].parts,
        code=fingerprint("partition"),
    shell:
        "exec impasto --end-with-parent partition {input.image:q} --weights {input.weights:q} "
        "--parts {params.parts} --threads {params.threads} --output {output.masks:q} "
        "--record {output.record:q} > {log:q} 2>&1"


rule combine:
    input:
        lambda w: FILES.shared.masks.combine_inputs(w.key),
    output:
        f"{RESULTS}/shared/masks/combined/{{key}}.tif",
    log:
        f"{RESULTS}/logs/combine/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/combine/{{key}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.combine(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.combine(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.combine(w.key).disk_mib,
    params:
        options=lambda w: FILES.shared.masks.combine_options(w.key),
        seen=lambda w: FILES.shared.seen(FILES.shared.masks.combine_inputs(w.key)),
        code=fingerprint("combine"),
    shell:
        "exec impasto --end-with-parent combine {params.options} --output {output:q} > {log:q} 2>&1"


rule recolour:
    input:
        unpack(lambda w: FILES.shared.recolour_inputs(w.key)),
    output:
        f"{RESULTS}/shared/images/{{key}}.tif",
    log:
        f"{RESULTS}/logs/recolour/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/recolour/{{key}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.recolour(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.recolour(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.recolour(w.key).disk_mib,
    params:
        options=lambda w: FILES.shared.recolour_options(w.key),
        maps=lambda w: FILES.shared.recolour_maps(w.key),
        seen=lambda w: FILES.shared.seen(FILES.shared.recolour_inputs(w.key)["masks"]),
        code=fingerprint("recolour"),
    shell:
        "exec impasto --end-with-parent recolour {input.image:q} {params.options} --maps - "
        "--output {output:q} <<< {params.maps:q} > {log:q} 2>&1"
