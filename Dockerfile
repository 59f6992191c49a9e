# The container image: locked dependencies and the program in one virtual environment, no build tools, no shell needed.
# `scripts/build-image` builds it, sends a mail through it and takes it down again.
#
#   BASE            a Debian-like image with python3 (3.11 or newer), its venv module, CA certificates and libstdc++
#   PIP_INDEX_URL   an index of your own
#   PIP_NO_INDEX    1: every wheel is in requirements/wheels, put there by `pip download`; ask nobody
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS builder
WORKDIR /build
# pip stays out of the environment that is shipped
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/mailbridge
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_COMPILE=1

COPY requirements requirements
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ENV PIP_FIND_LINKS=requirements/wheels PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1
RUN mkdir -p requirements/wheels && \
    tools/bin/pip install --quiet -r requirements/build.txt && \
    tools/bin/pip --python /opt/mailbridge/bin/python install --quiet -r requirements/runtime.txt

COPY pyproject.toml README.md LICENSE ./
COPY mailbridge mailbridge
ENV PIP_REQUIRE_HASHES=0
RUN tools/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist . && \
    tools/bin/pip --python /opt/mailbridge/bin/python install --quiet --no-deps --no-index dist/mailbridge-*.whl && \
    # the program's user may not write beside the code, so bytecode is made here; by hash: layers lose times of files
    /opt/mailbridge/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/mailbridge/lib && \
    install -d -o 10001 -g 10001 -m 0700 /data


FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mailbridge" \
      org.opencontainers.image.description="A local SMTP server that turns mail into SMS through the SMSC gateway, durably." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=builder /opt/mailbridge /opt/mailbridge
COPY --from=builder --chown=10001:10001 /data /data
COPY contrib/docker/config.yaml /etc/mailbridge/config.yaml

ENV PATH=/opt/mailbridge/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MAILBRIDGE_CONFIG=/etc/mailbridge/config.yaml \
    # `demo` listens where a published port reaches it
    MAILBRIDGE_DEMO_SMTP=0.0.0.0:2525 \
    MAILBRIDGE_DEMO_LISTEN=0.0.0.0:8025 \
    MAILBRIDGE_DEMO_DESK=0.0.0.0:8080

# by number: Kubernetes' runAsNonRoot cannot look names up
USER 10001:10001
WORKDIR /data
VOLUME /data
# 2525 mail; 8080 health, metrics and callbacks
EXPOSE 2525 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 CMD ["mailbridge", "check", "--ready"]
# `serve` handles its signals itself and starts no processes: nothing for an init to do
ENTRYPOINT ["mailbridge"]
CMD ["serve"]
