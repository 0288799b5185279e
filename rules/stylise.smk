# One artwork's rendering: its plan, guidance and targets, then level by level up to the print size.
# A level is given its part of the plan, not plan.json: it re-runs when that part changes, and with no other.


# A second's work: a cluster would take ten times as long to start it.
localrules:
    plan,


rule plan:
    output:
        f"{RESULTS}/{{artwork}}/plan.json",
    log:
        f"{RESULTS}/logs/{{artwork}}/plan.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/plan.tsv"
    # An artwork that cannot be made shows before others take time.
    priority: 1
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 768 * attempt,
        runtime=10,
        disk_mb=1,
    params:
        settings=lambda w: FILES.plan_settings(w.artwork),
        sizes=lambda w: FILES.plan_sizes(w.artwork),
        code=fingerprint("plan", aside="probe"),
    shell:
        "exec impasto --end-with-parent plan --config - --artwork {wildcards.artwork} --output {output:q} "
        "<<< {params.settings:q} > {log:q} 2>&1"


rule guide:
    input:
        lambda w: FILES.guide_masks(w.artwork),
    output:
        f"{RESULTS}/{{artwork}}/levels/{{level}}/guides.tif",
    log:
        f"{RESULTS}/logs/{{artwork}}/guide-{{level}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/guide-{{level}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.guide(w.artwork, w.level).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.guide(w.artwork, w.level).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.guide(w.artwork, w.level).disk_mib,
    params:
        options=lambda w: FILES.guide_options(w.artwork, w.level),
        seen=lambda w: FILES.shared.seen(FILES.guide_masks(w.artwork)),
        code=fingerprint("guide"),
    shell:
        "exec impasto --end-with-parent guide {params.options} --output {output:q} > {log:q} 2>&1"


rule mix:
    input:
        unpack(lambda w: FILES.shared.mix_inputs(w.key)),
    output:
        image=f"{RESULTS}/shared/mixed/{{key}}.tif",
        record=f"{RESULTS}/shared/mixed/{{key}}.json",
    log:
        f"{RESULTS}/logs/mix/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/mix/{{key}}.tsv"
    threads: lambda w: NEEDS.mix(w.key).threads
    resources:
        mem_mb=lambda w, attempt: NEEDS.mix(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.mix(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.mix(w.key).disk_mib,
        gpu=lambda w: NEEDS.mix(w.key).gpus,
    params:
        plan=lambda w: FILES.shared.mix_plan(w.key),
        seen=lambda w: FILES.shared.seen(FILES.shared.mix_inputs(w.key).values()),
        code=fingerprint("mix"),
    shell:
        "exec impasto --end-with-parent mix {input.start:q} --fine {input.fine:q} --plan - "
        "--weights {input.weights:q} --output {output.image:q} --record {output.record:q} "
        "<<< {params.plan:q} > {log:q} 2>&1"


rule targets:
    input:
        unpack(lambda w: FILES.shared.target_inputs(w.key)),
    output:
        f"{RESULTS}/shared/targets/{{key}}.safetensors",
    log:
        f"{RESULTS}/logs/targets/{{key}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/targets/{{key}}.tsv"
    # Small, and the same to the last bit however many cores there are: one thread, many side by side.
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.targets(w.key).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.targets(w.key).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.targets(w.key).disk_mib,
        gpu=lambda w: NEEDS.target_gpus(local=workflow.local_exec),
    params:
        options=lambda w: FILES.shared.target_options(w.key),
        seen=lambda w: FILES.shared.seen(FILES.shared.target_inputs(w.key).values()),
        code=fingerprint("targets"),
    shell:
        "exec impasto --end-with-parent targets {input.image:q} --weights {input.weights:q} {params.options} "
        "--output {output:q} > {log:q} 2>&1"


rule stylise:
    input:
        weights=lambda w: FILES.shared.weights_file(
            COLLECTION.plans[w.artwork].settings.network.name
        ),
        means=lambda w: FILES.channel_means(w.artwork),
        content=lambda w: FILES.shared.image_file(
            COLLECTION.level(w.artwork, w.level).content
        ),
        targets=lambda w: FILES.level_targets(w.artwork, w.level),
        guides=lambda w: FILES.guides(w.artwork, w.level),
        start=lambda w: FILES.starts(w.artwork),
    output:
        image=f"{RESULTS}/{{artwork}}/levels/{{level}}/stylised.tif",
        record=f"{RESULTS}/{{artwork}}/levels/{{level}}/stylised.json",
    log:
        f"{RESULTS}/logs/{{artwork}}/stylise-{{level}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/stylise-{{level}}.tsv"
    threads: lambda w: NEEDS.level(w.artwork, w.level).threads
    resources:
        mem_mb=lambda w, attempt: NEEDS.level(w.artwork, w.level).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.level(w.artwork, w.level).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.level(w.artwork, w.level).disk_mib,
        gpu=lambda w: NEEDS.level(w.artwork, w.level).gpus,
        preview_every_min=PREVIEW_EVERY_MIN,
    params:
        plan=lambda w: FILES.level_plan(w.artwork, w.level),
        now=f"{RESULTS}/{{artwork}}/now.png",
        start=lambda w, input: ["--start", *input.start] if input.start else [],
        code=fingerprint("stylise"),
    shell:
        "exec impasto --end-with-parent stylise --plan - --level {wildcards.level} "
        "--weights {input.weights:q} --content {input.content:q} --targets {input.targets:q} "
        "--guides {input.guides:q} {params.start:q} --output {output.image:q} --record {output.record:q} "
        "--preview {params.now:q} --preview-every-min {resources.preview_every_min} "
        "<<< {params.plan:q} > {log:q} 2>&1"


rule upsample:
    input:
        image=lambda w: FILES.result_below(w.artwork, w.level),
        contents=lambda w: FILES.upsample_contents(w.artwork, w.level),
    output:
        temp(f"{RESULTS}/{{artwork}}/levels/{{level}}/start.tif"),
    log:
        f"{RESULTS}/logs/{{artwork}}/upsample-{{level}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/upsample-{{level}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.upsample(w.artwork, w.level).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.upsample(w.artwork, w.level).runtime_min(
            attempt
        ),
        disk_mb=lambda w: NEEDS.upsample(w.artwork, w.level).disk_mib,
    params:
        options=lambda w, input: FILES.upsample_options(
            w.artwork, w.level, input.contents
        ),
        code=fingerprint("upsample"),
    shell:
        "exec impasto --end-with-parent upsample {input.image:q} {params.options} --output {output:q} "
        "> {log:q} 2>&1"


rule refine:
    input:
        weights=lambda w: FILES.shared.weights_file(
            COLLECTION.plans[w.artwork].settings.network.name
        ),
        means=lambda w: FILES.channel_means(w.artwork),
        content=lambda w: FILES.shared.image_file(
            COLLECTION.level(w.artwork, w.level).content
        ),
        targets=lambda w: FILES.level_targets(w.artwork, w.level),
        guides=lambda w: FILES.guides(w.artwork, w.level),
        start=f"{RESULTS}/{{artwork}}/levels/{{level}}/start.tif",
    output:
        image=f"{RESULTS}/{{artwork}}/levels/{{level}}/refined.tif",
        record=f"{RESULTS}/{{artwork}}/levels/{{level}}/refined.json",
    log:
        f"{RESULTS}/logs/{{artwork}}/refine-{{level}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/refine-{{level}}.tsv"
    threads: lambda w: NEEDS.level(w.artwork, w.level).threads
    resources:
        mem_mb=lambda w, attempt: NEEDS.level(w.artwork, w.level).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.level(w.artwork, w.level).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.level(w.artwork, w.level).disk_mib,
        gpu=lambda w: NEEDS.level(w.artwork, w.level).gpus,
        preview_every_min=PREVIEW_EVERY_MIN,
    params:
        plan=lambda w: FILES.level_plan(w.artwork, w.level),
        now=f"{RESULTS}/{{artwork}}/now.png",
        code=fingerprint("refine"),
    shell:
        "exec impasto --end-with-parent refine --plan - --level {wildcards.level} "
        "--weights {input.weights:q} --content {input.content:q} --targets {input.targets:q} "
        "--guides {input.guides:q} --start {input.start:q} --output {output.image:q} "
        "--record {output.record:q} --preview {params.now:q} "
        "--preview-every-min {resources.preview_every_min} <<< {params.plan:q} > {log:q} 2>&1"
