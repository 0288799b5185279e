# The configuration, resolved once for all rules. Everything with logic in it lives in the package.

import os
import sys
from subprocess import CalledProcessError

from snakemake.exceptions import WorkflowError

from pipeline.collection import open_collection
from pipeline.errors import PipelineError
from pipeline.files import hold
from pipeline.fingerprint import fingerprint
from pipeline.handover import hand_over, handover_file, taken_over
from pipeline.job_files import JobFiles
from pipeline.job_resources import JobResources
from pipeline.progress import failures, follow, lost_models, survey, unreported


# Used only with `--software-deployment-method apptainer`; profiles/container/ has its recipe.
container: "profiles/container/impasto.sif"


HANDOVER = handover_file(
    workflow.config_settings.configfiles, workflow.config_settings.config
)
# A job of a cluster is a Snakemake of its own: what its run began with holds, whatever is edited meanwhile.
COLLECTION = None if workflow.is_main_process else taken_over(HANDOVER, sys.argv)

# A configuration named on the command line stands alone: the demo's artworks are not mixed into it.
if COLLECTION is None and not workflow.config_settings.configfiles:

    configfile: "config.yaml"


if COLLECTION is None:
    try:
        COLLECTION = open_collection(
            config, workflow.configfiles, Path(".snakemake/impasto-headers.json")
        )
    except PipelineError as error:
        raise WorkflowError(str(error)) from None

if workflow.is_main_process:
    for line in COLLECTION.warnings:
        logger.warning(line)
    for line in COLLECTION.refusals(on_demand=False).values():
        logger.error(f"{line} The other artworks go on.")
    for name, line in COLLECTION.refusals(on_demand=True).items():
        logger.warning(
            f"{line} {name} is made on demand alone: nothing else waits for it."
        )

FILES = JobFiles(COLLECTION)
NEEDS = JobResources(COLLECTION)
RESULTS = COLLECTION.results
RESOURCES = COLLECTION.resources
if workflow.is_main_process and not FILES.asked(on_demand=False):
    logger.warning(
        "Every artwork is made on demand alone: a plain run has nothing to do, demo_feedforward makes them."
    )
if workflow.is_main_process:
    for file in lost_models(FILES):
        logger.warning(
            f"{file} is gone: what was made with it is made anew as soon as something else needs it."
        )
THREADS = COLLECTION.config.compute.threads
# A resource, not a param: pixels do not depend on who looks meanwhile, so nothing is made again for another value.
PREVIEW_EVERY_MIN = str(COLLECTION.config.preview.every_min)


wildcard_constraints:
    artwork="[A-Za-z0-9][A-Za-z0-9_-]*",
    level="[0-9]+",
    key="[A-Za-z0-9-]+",
    weights="[a-z0-9_]+",
    extension="tif|png|jpg|webp|avif",


# profiles/default turns Snakemake's own lock off: it would outlive a run that was killed. This one does not.
onstart:
    try:
        held = hold(Path(RESULTS) / ".in-use")
        # Runs with results of their own may share resources: each file there is made by one of them.
        for job in workflow.dag.needrun_jobs():
            if job.rule.name in ("fetch_weights", "fetch_viewer", "make_demo"):
                made = Path(job.output[0])
                hold(made.with_name(f".{made.name}.in-use"))
        if not workflow.local_exec:
            # Two runs may have results of their own, and yet one name for what jobs take over.
            hold(HANDOVER.with_suffix(".in-use"))
            hand_over(COLLECTION, HANDOVER)
    except PipelineError as error:
        raise WorkflowError(str(error)) from None
    if not held:
        logger.warning(
            f"{RESULTS} lies on a file system without locks: see to it yourself that no second run writes there."
        )
    if workflow.local_exec:
        # A limit on submissions is for clusters. Here Snakemake's default of 100 in a second costs much: each
        # finished job leaves a timer behind that has all ready jobs looked at again every second.
        workflow.scheduler.job_rate_limiter = None
    follow(FILES, logger.info)


onsuccess:
    logger.info(survey(FILES, unmade=()).line)


# Each artwork that was not made, in the words of the job that failed, at the end where it is seen.
onerror:
    asked = {job.wildcards_dict.get("artwork") for job in workflow.dag.jobs}
    unmade = {
        job.wildcards_dict.get("artwork") for job in workflow.dag.needrun_jobs()
    }
    logger.error(survey(FILES, unmade=unmade).line)
    for line in failures(FILES, asked, unmade):
        logger.error(f"  {line}")
    due = {*workflow.dag.needrun_jobs()}
    undelivered = [
        job.wildcards_dict.get("file") or job.wildcards_dict["folder"]
        for job in due
        if job.rule.name in ("deliver", "deliver_folder")
        and due.isdisjoint(workflow.dag.dependencies[job])
    ]
    if undelivered:
        logger.error(
            f"  Not delivered though made: {min(undelivered)} and {len(undelivered) - 1} more (see above)."
        )
    # Made in part by this run and in part by an earlier one. What misses its limits is made.
    outdated = {
        job.wildcards_dict.get("artwork")
        for job in due
        if job.rule.name in ("record", "preview")
    }
    # The report rules wait for all their artworks: those that are finished are shown all the same.
    for on_demand in (False, True):
        page = FILES.page(on_demand=on_demand)
        finished = unreported(FILES, asked, on_demand=on_demand, outdated=outdated)
        if finished:
            try:
                shell(
                    "impasto report {finished:q} --title={COLLECTION.config.title:q} {FILES.report_options} "
                    "--output {page:q} > {RESULTS:q}/logs/report.log 2>&1"
                )
                # Older than all that it needs, so that the next run makes it anew.
                os.utime(page, (1, 1))
                logger.error(f"  {page} shows what is finished.")
            except CalledProcessError:
                logger.error(
                    f"  No report of what is finished ({RESULTS}/logs/report.log)."
                )
