"""Finished artworks delivered to object storage: a server of S3's protocol on this machine."""

from __future__ import annotations

import shutil

import boto3
import pytest
from moto.server import ThreadedMotoServer
from running import run
from workflows import RenderedCollection, jobs

pytestmark = pytest.mark.slow

KEYS = {"ACCESS_KEY": "mine", "SECRET_KEY": "secret"}


def test_finished_artworks_are_delivered_to_a_bucket_and_only_once(
    rendered: RenderedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        settings = {**KEYS, "ENDPOINT_URL": address, "REGION": "eu-west-1"}
        for name, value in settings.items():
            monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        store = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="eu-west-1",
            aws_access_key_id="mine",
            aws_secret_access_key="secret",
        )
        store.create_bucket(Bucket="prints", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        command = ["snakemake", "--cores", "2", "--config", "deliver_to=s3://prints/autumn"]
        checkout = rendered.checkout
        # What other tests changed is made again first.
        assert checkout.snakemake("--cores", 2).returncode == 0
        done = run(command, checkout.folder, checkout.env)
        assert done.returncode == 0, done.stdout + done.stderr
        files = ["preview.png", "print.tif", "provenance.json", "quality.json"]
        names = {f"autumn/{artwork}/{file}" for artwork in ("halves", "scene") for file in files}
        # The report with all that it shows.
        folders = [rendered.results / folder for folder in ("halves/pictures", "scene/pictures", "report")]
        shown = [path.relative_to(rendered.results) for folder in folders for path in folder.iterdir()]
        names |= {f"autumn/{path}" for path in shown if not path.name.startswith(".")}
        assert {"autumn/halves/pictures/result.jpg", "autumn/report/scene.html"} <= names
        found = store.list_objects_v2(Bucket="prints")["Contents"]
        assert {entry["Key"] for entry in found} == names | {"autumn/report.html"}
        kept = store.get_object(Bucket="prints", Key="autumn/scene/print.tif")["Body"].read()
        assert kept == (rendered.results / "scene" / "print.tif").read_bytes()
        assert {job.split()[0] for job in jobs(done)} == {"deliver", "deliver_folder"}
        again = run(command, checkout.folder, checkout.env)
        assert jobs(again) == set()
    finally:
        server.stop()
        for kind in ("logs", "benchmarks"):
            shutil.rmtree(rendered.results / kind / "deliver", ignore_errors=True)
