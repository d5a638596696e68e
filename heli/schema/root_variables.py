"""Variables by which programs are told of root certificates."""

REPLACING = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "NIX_SSL_CERT_FILE",
    "CODEX_CA_CERTIFICATE",
)
"""Each names the one file of roots that its readers trust, so that it must hold everything."""
ADDING = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Each names roots beside those that the runtime has itself."""
