"""Certificates for tests and benches, made by the openssl command."""

import subprocess
from pathlib import Path


class Authority:
    """A certificate authority of its own, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        _openssl("req", "-x509", *_fresh_key(self._key), "-subj", "/CN=test-ca", "-out", str(self.certificate))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Write the chain and key of `name`, valid for 127.0.0.1 and localhost."""
        request, chain, key = (self._directory / f"{name}.{suffix}" for suffix in ("csr", "pem", "key"))
        extensions = self._directory / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        _openssl("req", *_fresh_key(key), "-subj", f"/CN={name}", "-out", str(request))
        given = ("-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2")
        _openssl("x509", "-req", "-in", str(request), *given, "-extfile", str(extensions), "-out", str(chain))
        return chain, key


def _fresh_key(path: Path) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
