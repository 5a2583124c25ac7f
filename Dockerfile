# Images of the operator (no torch) and of a job's pods. docs/how-to/build-images.md says how to build and to vary them.
#
# Dependencies come before code: they change with the lock files, our own code is a last, thin layer. Nothing of the
# machine that builds stays inside: what a mirror or proxy needs comes in through the optional secrets `build.env`
# (shell assignments such as UV_DEFAULT_INDEX=...) and `build.crt` (its certificates). /root/.cache/uv is a place within the
# container that builds, which keeps the installer's cache out of the layers.

# Any Debian-like image with Python >= 3.11, certificates and time zones. Pin it as name@sha256:...
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS base
# Without an entry of its own a user has no name, and getpass.getuser(), which torch asks, fails.
# Where the base brings pip, it goes: nothing is installed into a running image.
RUN echo 'pretrain:x:65532:65532::/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'pretrain:x:65532:' >> /etc/group \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

FROM base AS trainer-dependencies
# Debian packages to add, such as "g++ libc6-dev" for spec.training.compile.
ARG PACKAGES=
RUN if [ -n "$PACKAGES" ]; then apt-get update && apt-get install -y --no-install-recommends $PACKAGES \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*; fi
COPY --chmod=644 requirements-trainer.lock scripts/fetch_uv.py scripts/install_dependencies.sh /build/
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=secret,id=build.env --mount=type=secret,id=build.crt \
    sh /build/install_dependencies.sh

FROM base AS operator-dependencies
# The Kubernetes client loads its class of every kind only when it is asked for. The operator asks for none, as it reads
# and writes plain objects: 120 MB.
COPY --chmod=644 requirements-operator.lock scripts/fetch_uv.py scripts/install_dependencies.sh /build/
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=secret,id=build.env --mount=type=secret,id=build.crt \
    sh /build/install_dependencies.sh kubernetes/client/api kubernetes/client/models \
      kubernetes/aio/client/api kubernetes/aio/client/models

FROM base AS operator-code
COPY pyproject.toml LICENSE scripts/install_rooms.py /source/
COPY api /source/api
COPY operator /source/operator
RUN PYTHONHASHSEED=0 python3 /source/install_rooms.py /code api operator

FROM base AS trainer-code
COPY pyproject.toml LICENSE scripts/install_rooms.py /source/
COPY api /source/api
COPY trainer /source/trainer
RUN PYTHONHASHSEED=0 python3 /source/install_rooms.py /code api trainer

FROM operator-dependencies AS operator
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pretrain-operator" \
      org.opencontainers.image.description="Carries out PretrainJobs in a cluster." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=operator-code /code /opt/pretrain/code
USER 65532:65532
ENTRYPOINT ["python", "-m", "pretrain_operator"]

FROM trainer-dependencies AS trainer
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pretrain-trainer" \
      org.opencontainers.image.description="The stage programs that run in the pods of a PretrainJob." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=trainer-code /code /opt/pretrain/code
USER 65532:65532
CMD ["python", "-m", "pretrain_trainer", "--help"]
