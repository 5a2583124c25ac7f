#!/bin/sh
# Runs inside an image's build (Dockerfile): /opt/venv with exactly what the lock file beside this one pins. Arguments are
# folders of packages whose modules stay out.
set -eu
if [ -e /run/secrets/build.env ]; then set -a; . /run/secrets/build.env; set +a; fi
# In the cache that is mounted during the build: the installer never becomes part of a layer.
uv=${UV_CACHE_DIR:=/root/.cache/uv}/uv-for-images
mkdir -p "$UV_CACHE_DIR"
python3 /build/fetch_uv.py "$uv"
"$uv" venv --quiet --no-config --python "$(command -v python3)" /opt/venv
"$uv" pip install --no-config --system-certs --python /opt/venv/bin/python --link-mode copy --require-hashes \
  --requirements /build/requirements-*.lock
packages=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
for folder in "$@"; do find "$packages/$folder" -type f ! -name __init__.py -delete; done
# Bytecode that is bound to no time stamp: the layers' time stamps are set to one date, and stale bytecode would be
# compiled again at every start, as the root file system is read-only. One process per package in a fixed order, as
# the bytes depend on what the same process compiled before. Some packages bring files that are no valid Python.
find "$packages" -mindepth 1 -maxdepth 1 -print0 | PYTHONHASHSEED=0 xargs -0 -n 1 -P "$(nproc)" \
  /opt/venv/bin/python -m compileall -qq --invalidation-mode unchecked-hash || true
# Our own code is no part of the environment: it comes in the next layer.
echo /opt/pretrain/code > "$packages/pretrain.pth"
rm -rf /build /tmp/*
