# The configuration, resolved once for all rules. Everything with logic in it lives in pipeline/collection.py.

from snakemake.exceptions import WorkflowError

from pipeline.collection import resolve_collection
from pipeline.errors import PipelineError
from pipeline.fingerprint import fingerprint
from pipeline.headers import HeaderCache

# A configuration named on the command line stands alone: the demo's artworks are not mixed into it.
if not workflow.config_settings.configfiles:

    configfile: "config.yaml"


# Used only with `--software-deployment-method apptainer`; profiles/container/ has its recipe.
container: "profiles/container/impasto.sif"


_headers = HeaderCache(
    Path(".snakemake/impasto-headers.json"),
    Path(config.get("resources_dir", "resources")) / "demo",
)
try:
    COLLECTION = resolve_collection(config, _headers.size_of)
except PipelineError as error:
    raise WorkflowError(str(error)) from None
_headers.save()

RESULTS = COLLECTION.results
RESOURCES = COLLECTION.resources
THREADS = COLLECTION.config.compute.threads


wildcard_constraints:
    artwork="[A-Za-z0-9][A-Za-z0-9_-]*",
    level="[0-9]+",
    key="[A-Za-z0-9-]+",
    weights="[a-z0-9_]+",
