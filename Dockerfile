# syntax=docker/dockerfile:1
# The server in a container. Build and run:  docker compose up --build      (compose.yaml says with what safety)
# The steps are scripts, so that they can be run, and are tested, where there is no Docker engine.

FROM python:3.12-slim-bookworm AS build
# A compiler makes the kernels fast; it stays behind in this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# What seldom changes comes first: the layer with the libraries is made anew only when pyproject.toml changes.
COPY pyproject.toml setup.py README.md LICENSE /source/
COPY scripts/container-install.sh /source/scripts/
RUN sh /source/scripts/container-install.sh libraries /opt/manyfaces /source
COPY src /source/src
RUN sh /source/scripts/container-install.sh manyfaces /opt/manyfaces /source

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin manyfaces \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/manyfaces /opt/manyfaces
COPY scripts/container-health.py /opt/manyfaces/health.py
ENV PATH=/opt/manyfaces/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MANYFACES_GALLERY=/data/people.db \
    XDG_CACHE_HOME=/tmp
USER 10001:10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/manyfaces/health.py"]
STOPSIGNAL SIGTERM
# Other machines can reach this address, so the server wants tokens: MANYFACES_TOKENS, or --token-file FILE.
ENTRYPOINT ["manyfaces", "serve", "--host", "0.0.0.0"]
