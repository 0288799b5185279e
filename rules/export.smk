# From the top level's result to what a print shop and a reader get.


rule assemble:
    input:
        result=lambda w: FILES.top_result(w.artwork),
        content=lambda w: FILES.shared.prepared_file(
            COLLECTION.plans[w.artwork].content
        ),
        masks=lambda w: FILES.assemble_masks(w.artwork),
    output:
        temp(f"{RESULTS}/{{artwork}}/assembled.tif"),
    log:
        f"{RESULTS}/logs/{{artwork}}/assemble.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/assemble.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.assemble(w.artwork).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.assemble(w.artwork).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.assemble(w.artwork).disk_mib,
    params:
        options=lambda w: FILES.assemble_options(w.artwork),
        code=fingerprint("assemble"),
    shell:
        "exec impasto --end-with-parent assemble {input.result:q} --content {input.content:q} "
        "{params.options} --output {output:q} > {log:q} 2>&1"


rule export_print:
    input:
        unpack(lambda w: FILES.recorded(w.artwork)),
        image=f"{RESULTS}/{{artwork}}/assembled.tif",
    output:
        f"{RESULTS}/{{artwork}}/print.{{extension}}",
    log:
        f"{RESULTS}/logs/{{artwork}}/export_print-{{extension}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/export_print-{{extension}}.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.print(w.artwork, w.extension).memory_mib(
            attempt
        ),
        runtime=lambda w, attempt: NEEDS.print(w.artwork, w.extension).runtime_min(
            attempt
        ),
        disk_mb=lambda w: NEEDS.print(w.artwork, w.extension).disk_mib,
    params:
        seen=lambda w: FILES.shared.seen(FILES.artwork_sources(w.artwork)),
        code=fingerprint("export-print"),
    shell:
        "exec impasto --end-with-parent export-print {input.image:q} --plan {input.plan:q} "
        "--records {input.records:q} --masks {input.masks:q} --partitions {input.partitions:q} "
        "--mixtures {input.mixtures:q} --crop {input.crop:q} --weights {input.weights:q} "
        "--painting {input.painting:q} --output {output:q} > {log:q} 2>&1"


rule export_panels:
    input:
        unpack(lambda w: FILES.recorded(w.artwork)),
        image=f"{RESULTS}/{{artwork}}/assembled.tif",
    output:
        directory(f"{RESULTS}/{{artwork}}/panels"),
    log:
        f"{RESULTS}/logs/{{artwork}}/export_panels.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/export_panels.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.panels(w.artwork).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.panels(w.artwork).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.panels(w.artwork).disk_mib,
    params:
        seen=lambda w: FILES.shared.seen(FILES.artwork_sources(w.artwork)),
        code=fingerprint("export-panels"),
    shell:
        "exec impasto --end-with-parent export-panels {input.image:q} --plan {input.plan:q} "
        "--records {input.records:q} --masks {input.masks:q} --partitions {input.partitions:q} "
        "--mixtures {input.mixtures:q} --crop {input.crop:q} --weights {input.weights:q} "
        "--painting {input.painting:q} --output {output:q} > {log:q} 2>&1"


rule export_deepzoom:
    input:
        f"{RESULTS}/{{artwork}}/assembled.tif",
    output:
        directory(f"{RESULTS}/{{artwork}}/deepzoom"),
    log:
        f"{RESULTS}/logs/{{artwork}}/export_deepzoom.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/export_deepzoom.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.deepzoom(w.artwork).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.deepzoom(w.artwork).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.deepzoom(w.artwork).disk_mib,
    params:
        options=lambda w: FILES.deepzoom_options(w.artwork),
        code=fingerprint("export-deepzoom"),
    shell:
        "exec impasto --end-with-parent export-deepzoom {input:q} {params.options} --output {output:q} "
        "> {log:q} 2>&1"


rule record:
    input:
        unpack(lambda w: FILES.recorded(w.artwork)),
        prints=lambda w: FILES.prints(w.artwork),
    output:
        f"{RESULTS}/{{artwork}}/provenance.json",
    log:
        f"{RESULTS}/logs/{{artwork}}/record.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/record.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.record().memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.record().runtime_min(attempt),
        disk_mb=lambda w: NEEDS.record().disk_mib,
    params:
        code=fingerprint("record"),
    shell:
        "exec impasto --end-with-parent record {input.prints:q} --plan {input.plan:q} "
        "--records {input.records:q} --masks {input.masks:q} --partitions {input.partitions:q} "
        "--mixtures {input.mixtures:q} --crop {input.crop:q} --weights {input.weights:q} "
        "--painting {input.painting:q} --output {output:q} > {log:q} 2>&1"


rule proof:
    input:
        plan=f"{RESULTS}/{{artwork}}/plan.json",
        image=f"{RESULTS}/{{artwork}}/assembled.tif",
        profile=lambda w: FILES.profile(w.artwork),
    output:
        proof=f"{RESULTS}/{{artwork}}/proof.png",
        gamut=f"{RESULTS}/{{artwork}}/gamut.png",
        record=f"{RESULTS}/{{artwork}}/proof.json",
    log:
        f"{RESULTS}/logs/{{artwork}}/proof.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/proof.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.finish(w.artwork).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.finish(w.artwork).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.finish(w.artwork).disk_mib,
    params:
        preview_px=lambda w: COLLECTION.plans[w.artwork].settings.preview_px,
        code=fingerprint("proof"),
    shell:
        "exec impasto --end-with-parent proof {input.image:q} --plan {input.plan:q} "
        "--longer-side-px {params.preview_px} --output {output.proof:q} --gamut {output.gamut:q} "
        "--record {output.record:q} > {log:q} 2>&1"


rule assess:
    input:
        unpack(lambda w: FILES.assess_inputs(w.artwork)),
    output:
        f"{RESULTS}/{{artwork}}/quality.json",
    log:
        f"{RESULTS}/logs/{{artwork}}/assess.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/assess.tsv"
    threads: THREADS
    resources:
        mem_mb=lambda w, attempt: NEEDS.assess(w.artwork).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.assess(w.artwork).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.assess(w.artwork).disk_mib,
        gpu=lambda w: NEEDS.target_gpus(local=workflow.local_exec),
    params:
        task=lambda w: FILES.assess_task(w.artwork),
        device=COLLECTION.config.compute.device,
        precision=COLLECTION.config.compute.precision,
        threads=THREADS,
        code=fingerprint("assess"),
    shell:
        "exec impasto --end-with-parent assess {input.image:q} --task - --weights {input.weights:q} "
        "--device {params.device} --precision {params.precision} --threads {params.threads} --output {output:q} "
        "<<< {params.task:q} > {log:q} 2>&1"


rule judge:
    input:
        figures=f"{RESULTS}/{{artwork}}/quality.json",
        plan=f"{RESULTS}/{{artwork}}/plan.json",
    output:
        f"{RESULTS}/{{artwork}}/quality.passed",
    log:
        f"{RESULTS}/logs/{{artwork}}/judge.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/judge.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.record().memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.record().runtime_min(attempt),
        disk_mb=lambda w: NEEDS.record().disk_mib,
    params:
        code=fingerprint("judge"),
    shell:
        "exec impasto --end-with-parent judge {input.figures:q} --plan {input.plan:q} --output {output:q} "
        "> {log:q} 2>&1"


rule preview:
    input:
        plan=f"{RESULTS}/{{artwork}}/plan.json",
        image=f"{RESULTS}/{{artwork}}/assembled.tif",
        content=lambda w: FILES.shared.prepared_file(
            COLLECTION.plans[w.artwork].content
        ),
        styles=lambda w: FILES.top_styles(w.artwork),
        levels=lambda w: FILES.level_results(w.artwork),
        guides=lambda w: FILES.guides(
            w.artwork, COLLECTION.plans[w.artwork].levels[-1].level_px
        ),
    output:
        preview=report(
            f"{RESULTS}/{{artwork}}/preview.png",
            category="Results",
            labels={"artwork": "{artwork}"},
        ),
        pictures=report(
            directory(f"{RESULTS}/{{artwork}}/pictures"),
            # The preview stands for the result, and a page of many artworks must not grow too heavy.
            patterns=["{picture,(?!result|thumbnail).+}.jpg", "{picture}.png"],
            category="Pictures",
            subcategory="{artwork}",
            labels={"picture": "{picture}"},
        ),
    log:
        f"{RESULTS}/logs/{{artwork}}/preview.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{artwork}}/preview.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.finish(w.artwork).memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.finish(w.artwork).runtime_min(attempt),
        disk_mb=lambda w: NEEDS.finish(w.artwork).disk_mib,
    params:
        preview_px=lambda w: COLLECTION.plans[w.artwork].settings.preview_px,
        code=fingerprint("preview"),
    shell:
        "exec impasto --end-with-parent preview {input.image:q} --plan {input.plan:q} "
        "--content {input.content:q} --styles {input.styles:q} --levels {input.levels:q} "
        "--guides {input.guides:q} --longer-side-px {params.preview_px} --output {output.preview:q} "
        "--pictures {output.pictures:q} > {log:q} 2>&1"


rule report:
    input:
        plans=expand(
            f"{RESULTS}/{{artwork}}/plan.json",
            artwork=COLLECTION.artworks(on_demand=False),
        ),
        provenances=expand(
            f"{RESULTS}/{{artwork}}/provenance.json",
            artwork=COLLECTION.artworks(on_demand=False),
        ),
        previews=expand(
            f"{RESULTS}/{{artwork}}/preview.png",
            artwork=COLLECTION.artworks(on_demand=False),
        ),
        pictures=expand(
            f"{RESULTS}/{{artwork}}/pictures",
            artwork=COLLECTION.artworks(on_demand=False),
        ),
        deepzooms=[
            FILES.deepzooms(artwork)
            for artwork in COLLECTION.artworks(on_demand=False)
        ],
        # Not shown: a report that is made in batches then leaves no second making of what they are cut from.
        panels=[
            FILES.panels(artwork) for artwork in COLLECTION.artworks(on_demand=False)
        ],
        viewer=FILES.shared.viewer,
        figures=[
            FILES.assessed(artwork) for artwork in COLLECTION.artworks(on_demand=False)
        ],
        proofs=[
            FILES.proofs(artwork) for artwork in COLLECTION.artworks(on_demand=False)
        ],
    output:
        page=f"{RESULTS}/report.html",
        folder=directory(f"{RESULTS}/report"),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.report().memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.report().runtime_min(attempt),
        disk_mb=NEEDS.report().disk_mib,
    params:
        title=lambda w: COLLECTION.config.title,
        folders=expand(
            f"{RESULTS}/{{artwork}}", artwork=COLLECTION.artworks(on_demand=False)
        ),
        viewer=FILES.report_options,
        code=fingerprint("report"),
    shell:
        "exec impasto --end-with-parent report {params.folders:q} --title={params.title:q} "
        "{params.viewer} --output {output.page:q} > {log:q} 2>&1"


# The same over the artworks that a plain `snakemake` leaves out.
rule report_on_demand:
    input:
        plans=expand(
            f"{RESULTS}/{{artwork}}/plan.json",
            artwork=COLLECTION.artworks(on_demand=True),
        ),
        provenances=expand(
            f"{RESULTS}/{{artwork}}/provenance.json",
            artwork=COLLECTION.artworks(on_demand=True),
        ),
        previews=expand(
            f"{RESULTS}/{{artwork}}/preview.png",
            artwork=COLLECTION.artworks(on_demand=True),
        ),
        pictures=expand(
            f"{RESULTS}/{{artwork}}/pictures",
            artwork=COLLECTION.artworks(on_demand=True),
        ),
        deepzooms=[
            FILES.deepzooms(artwork) for artwork in COLLECTION.artworks(on_demand=True)
        ],
        panels=[
            FILES.panels(artwork) for artwork in COLLECTION.artworks(on_demand=True)
        ],
        viewer=FILES.shared.viewer,
        figures=[
            FILES.assessed(artwork) for artwork in COLLECTION.artworks(on_demand=True)
        ],
        proofs=[
            FILES.proofs(artwork) for artwork in COLLECTION.artworks(on_demand=True)
        ],
    output:
        page=f"{RESULTS}/on_demand.html",
        folder=directory(f"{RESULTS}/on_demand"),
    log:
        f"{RESULTS}/logs/report_on_demand.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_on_demand.tsv"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: NEEDS.report().memory_mib(attempt),
        runtime=lambda w, attempt: NEEDS.report().runtime_min(attempt),
        disk_mb=NEEDS.report().disk_mib,
    params:
        title=lambda w: COLLECTION.config.title,
        folders=expand(
            f"{RESULTS}/{{artwork}}", artwork=COLLECTION.artworks(on_demand=True)
        ),
        viewer=FILES.report_options,
        code=fingerprint("report"),
    shell:
        "exec impasto --end-with-parent report {params.folders:q} --title={params.title:q} "
        "{params.viewer} --output {output.page:q} > {log:q} 2>&1"
