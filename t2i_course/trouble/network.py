"""The network as this machine is told to use it: proxies and certificates."""

import os
import re
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from t2i_course.trouble.finding import Finding

PATIENCE = 2.0  # seconds for a proxy to answer
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def findings() -> list[Finding]:
    """Proxies that are misspelt or silent, this machine behind one, certificates that are gone.

    Nothing is sent: a proxy is only asked whether it takes a connection.
    """
    found = []
    proxies = {
        scheme: address
        for scheme, address in urllib.request.getproxies_environment().items()
        if scheme in ("http", "https", "all")
    }
    for scheme, address in proxies.items():
        found += _proxy(f"{scheme}_proxy", address)
    outside = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    if proxies and not (outside("localhost") and outside("127.0.0.1")):
        mend = "Set NO_PROXY=localhost,127.0.0.1 as well."
        what = "used for this machine itself too, which keeps JupyterLab from its kernels"
        found.append(Finding("proxy", what, mend))
    for variable in CERTIFICATES:
        path = os.environ.get(variable)
        if path and not Path(path).exists():
            what = f"{variable} names {path}, which is not there: every download will fail"
            found.append(Finding("certificates", what, "Unset it, or name your network's file."))
    return found


def _proxy(variable: str, address: str) -> list[Finding]:
    shown = re.sub(r"//[^@/]*@", "//…@", address)  # no password in a report
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not re.match(r"(https?|socks\w*)://", address) or host is None or port is None:
        mend = "Write it as http://host:port; your network's people know both."
        return [Finding("proxy", f"{variable}={shown} is no address of a proxy", mend)]
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as error:
        what = f"{variable}={shown} does not answer ({error.strerror or error})"
        mend = "Downloads will fail. Unset it if you are in another network now."
        return [Finding("proxy", what, mend)]
    return [Finding("proxy", f"{variable}={shown} answers")]
