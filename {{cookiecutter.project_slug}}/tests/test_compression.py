"""Compression: exports for clients that accept it, and nothing else."""

import gzip
import sys

import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.exports import EXPORTS
from {{ cookiecutter.__package_name }}.streaming.exports.routes import FORMATS

PATHS = [
    f"/export/{export.name}.{file_format.extension}"
    for export in EXPORTS
    for file_format in export.formats or FORMATS
]


if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor

    new_decompressor = ZstdDecompressor
else:
    import zstandard

    new_decompressor = zstandard.ZstdDecompressor().decompressobj


def get(client: TestClient, path: str, accept: str) -> tuple[str | None, bytes]:
    """Return the coding of a response, and its bytes on the wire."""
    with client.stream("GET", path, headers={"Accept-Encoding": accept}) as response:
        return response.headers.get("content-encoding"), b"".join(response.iter_raw())


@pytest.mark.parametrize("path", PATHS)
def test_export_is_compressed_for_clients_that_accept_it(client: TestClient, path: str) -> None:
    _, plain = get(client, path, "identity")
    if not plain:
        pytest.skip("no rows")

    gzip_coding, gzip_body = get(client, path, "gzip")
    zstd_coding, zstd_body = get(client, path, "gzip, deflate, br, zstd")

    assert (gzip_coding, gzip.decompress(gzip_body)) == ("gzip", plain)
    assert (zstd_coding, new_decompressor().decompress(zstd_body)) == ("zstd", plain)


@pytest.mark.parametrize("accept", ["identity", "br", "gzip;q=0, zstd;q=0"])
def test_export_is_plain_for_other_clients(client: TestClient, accept: str) -> None:
    for path in PATHS:
        coding, _ = get(client, path, accept)

        assert coding is None, path
#{% if cookiecutter.__uses.sse %}


def test_events_are_never_compressed(client: TestClient) -> None:
    headers = {"Accept-Encoding": "gzip, zstd"}

    with client.stream("GET", "/events/news", headers=headers) as response:
        beginning = next(response.iter_raw())

    assert "content-encoding" not in response.headers
    assert b"event: ready" in beginning
#{% endif %}
