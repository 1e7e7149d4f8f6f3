# fastlane's image: `docker run IMAGE up`, `api` or `worker`. docs/install.md says how to run it, docs/decisions/0036 why it is made so.
#
# It needs no option of BuildKit, so that any builder makes it. Other bases with Python 3.11 or later and Node.js 20 or later work too.
# scripts/pin writes the digests of these two behind their tags. With BuildKit, two builds of a commit are the same, bit for bit: scripts/image
# says how, decision 0182 why.
ARG NODE_IMAGE=node:22-slim
ARG PYTHON_IMAGE=python:3.13-slim

# The web pages. Nothing of Node.js or npm is in the image.
FROM ${NODE_IMAGE} AS pages
WORKDIR /src
COPY scripts/static scripts/lib.sh scripts/packages scripts/
COPY static static
RUN scripts/static

# A virtual environment with exactly the locked packages, compiled, since the image is run read-only. pip, which built it, is not in the image.
FROM ${PYTHON_IMAGE} AS program
WORKDIR /src
# With what traces, reports of errors and an archive in a bucket need: --build-arg REQUIREMENTS=requirements/extras.txt
ARG REQUIREMENTS=requirements/run.txt
COPY requirements/run.txt requirements/extras.txt requirements/
RUN python3 -m venv /opt/fastlane \
    && /opt/fastlane/bin/pip install --no-cache-dir --no-compile --no-deps --require-hashes -r "${REQUIREMENTS}"
COPY setup.py setup.cfg pyproject.toml MANIFEST.in README.md LICENSE ./
COPY builder builder
COPY fastlane fastlane
COPY --from=pages /src/fastlane/static fastlane/static
# Compiled without the times of the sources, which no two builds share.
RUN /opt/fastlane/bin/pip install --no-cache-dir --no-compile --no-deps --no-build-isolation . \
    && /opt/fastlane/bin/pip uninstall -y -q setuptools pip \
    && PYTHONHASHSEED=0 /opt/fastlane/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/fastlane/lib

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
# For hosts that are reached by ssh. What apt logs and caches has times.
RUN command -v ssh >/dev/null \
    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-client \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old; }
RUN echo 'fastlane:x:10000:10000::/var/lib/fastlane:/usr/sbin/nologin' >>/etc/passwd \
    && echo 'fastlane:x:10000:' >>/etc/group \
    && install -d -o 10000 -g 10000 -m 700 /var/lib/fastlane
COPY --from=program /opt/fastlane /opt/fastlane
# The standard library of a base may come without bytecode, which could not be written later.
RUN PYTHONHASHSEED=0 /opt/fastlane/bin/python -c 'import fastlane.app, fastlane.cli.servers'

# /dev/shm can be written even in a read-only container, and is empty at each start.
ENV PATH=/opt/fastlane/bin:$PATH \
    HOME=/var/lib/fastlane \
    TMPDIR=/dev/shm \
    PYTHONDONTWRITEBYTECODE=1 \
    FASTLANE_DATA_DIR=/var/lib/fastlane \
    FASTLANE_CHECK_SOCKET=/dev/shm/fastlane.sock \
    FASTLANE_LISTEN=0.0.0.0
WORKDIR /var/lib/fastlane
USER 10000:10000
EXPOSE 10000
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m --start-interval=2s --retries=3 CMD ["fastlane", "check"]
ENTRYPOINT ["fastlane"]
CMD ["up"]

# Last, since they change with each build.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fastlane" \
    org.opencontainers.image.description="Runs commands in containers on Docker Swarm: now, later or on a schedule" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
